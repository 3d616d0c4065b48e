import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePorts } from '../free-port.ts';
import { runCommand } from './run-command.ts';

const root = join(import.meta.dirname, '..', '..', '..');

/** What is asked of `docker inspect`. */
export type Container = {
  Id: string;
  Name: string;
  Config: { User: string; Labels: Record<string, string> };
  HostConfig: { ReadonlyRootfs: boolean; CapDrop: string[] | null; SecurityOpt: string[] | null };
  NetworkSettings: { Networks: Record<string, unknown> };
  State: { Status: string; ExitCode: number; Health?: { Status: string } };
};

/** The demo of compose.yaml, running. Disposing of it removes it with its volumes and images. */
export type ComposeStack = AsyncDisposable & {
  /** Where CSRs are posted. */
  url: string;
  /** Where Pebble hands out its root. */
  pebbleUrl: string;
  containers(service?: string): Promise<Container[]>;
  /** The last lines of every container. */
  logs(): Promise<string>;
};

/** `docker compose` or `docker-compose`, where one of them works and an engine answers. */
export async function findCompose(): Promise<[string, ...string[]] | undefined> {
  try {
    await runCommand(['docker', 'info']);
  } catch {
    return undefined;
  }
  for (const command of [['docker', 'compose'], ['docker-compose']] as [string, ...string[]][]) {
    try {
      await runCommand([...command, 'version']);
      return command;
    } catch {
      // The other one, then.
    }
  }
  return undefined;
}

/**
 * Builds the image and starts the demo under a project name and on ports of its own, beside whatever else
 * runs here. Returns when all of it is healthy; when that fails, or `signal` fires, nothing is left behind.
 *
 * @param scale replicas by service
 * @param config the path of the configuration
 */
export async function startComposeStack(
  compose: [string, ...string[]],
  { scale, config, signal }: { scale: Record<string, number>; config: string; signal: AbortSignal },
): Promise<ComposeStack> {
  const project = `quarry-test-${process.pid}`;
  const [intake, http, pebble] = (await freePorts(3)).map(port => `127.0.0.1:${port}`) as [
    string,
    string,
    string,
  ];
  const env = {
    QUARRY_CONFIG: config,
    QUARRY_PORT: intake,
    QUARRY_HTTP_PORT: http,
    PEBBLE_PORT: pebble,
  };
  const place = ['-f', join(root, 'compose.yaml'), '-p', project, '--profile', 'demo'];
  const run = (args: string[], signal?: AbortSignal) =>
    runCommand([...compose, ...place, ...args], { env, ...(signal && { signal }) });

  const containers = (service?: string) => inspectContainers(project, service);
  await using started = new AsyncDisposableStack();
  started.defer(async () => {
    await run(['down', '--volumes', '--remove-orphans', '--rmi', 'local', '--timeout', '5']);
  });
  const scales = Object.entries(scale).flatMap(([service, count]) => ['--scale', `${service}=${count}`]);
  await run(['up', '-d', '--build', ...scales], signal);
  await untilHealthy(containers, signal);
  const running = started.move();
  return {
    url: `http://${intake}`,
    pebbleUrl: `https://${pebble}`,
    containers,
    logs: () => run(['logs', '--no-color', '--tail', '30']),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** By labels, which every version of Compose sets alike; stopped ones too. */
async function inspectContainers(project: string, service?: string): Promise<Container[]> {
  const labels = { project, ...(service && { service }) };
  const filters = Object.entries(labels).flatMap(([key, value]) => [
    '--filter',
    `label=com.docker.compose.${key}=${value}`,
  ]);
  const ids = (await runCommand(['docker', 'ps', '--all', '--quiet', ...filters]))
    .split('\n')
    .filter(Boolean);
  return ids.length === 0 ? [] : (JSON.parse(await runCommand(['docker', 'inspect', ...ids])) as Container[]);
}

/** A last stop against hanging: a busy machine starts them slowly. */
const healthTimeout = 300_000;

async function untilHealthy(containers: () => Promise<Container[]>, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + healthTimeout;
  while (true) {
    const waitedFor = (await containers()).filter(container => !isHealthy(container));
    if (waitedFor.length === 0) return;
    if (performance.now() > deadline) {
      const logs = await Promise.all(
        waitedFor.map(({ Id }) => runCommand(['sh', '-c', `docker logs ${Id} 2>&1`])),
      );
      throw new Error(
        `not healthy: ${waitedFor.map(({ Name }, index) => `${Name}\n${logs[index]}`).join('\n')}`,
      );
    }
    await delay(500, undefined, { signal });
  }
}

function isHealthy({ State: { Status, ExitCode, Health } }: Container): boolean {
  if (Status === 'exited') return ExitCode === 0; // one that has something to do once
  return Status === 'running' && (Health === undefined || Health.Status === 'healthy');
}
