import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { callQuarry } from './call-quarry.ts';
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts';
import { freePort } from './free-port.ts';
import { startNginx } from './nginx.ts';
import { shownBlock } from './pages.ts';
import { type Pebble, type PebbleOptions, startPebble } from './pebble.ts';
import type { Ended } from './run-quarry.ts';
import { tempDir } from './temp-dir.ts';

const main = join(import.meta.dirname, '..', '..', 'services', 'cli', 'main.ts');

export type Json = Record<string, unknown>;

/** A directory that holds a `shaman.json`. */
export type ShamanDirectory = {
  path: string;
  json(): Promise<Json & { domains: Record<string, Json> }>;
  write(value: unknown): Promise<void>;
  text(file: string): Promise<string>;
  /** Writes a program. */
  program(name: string, script: string): Promise<void>;
};

export type ShamanGround = AsyncDisposable & {
  pebble: Pebble;
  /** In front of Pebble: the CA that profiles name. */
  ca: FaultProxy;
  /** Where nginx takes its answers from. */
  webroot: string;
  /** A directory with the authenticator of concorde's README, `prove-challenge`, and this `shaman.json`. */
  directory(json: Json): Promise<ShamanDirectory>;
  /** Runs `quarry shaman` to its end, in this process. */
  run(directory: ShamanDirectory): Promise<Ended>;
  /** Starts it in a process of its own. */
  start(
    directory: ShamanDirectory,
    env?: Record<string, string>,
  ): { child: ChildProcess; ended: Promise<Ended> };
};

/** Pebble, and a real nginx that answers http-01 as concorde's README sets it up. */
export async function startShamanGround(
  options: Omit<PebbleOptions, 'httpPort'> = {},
): Promise<ShamanGround> {
  await using started = new AsyncDisposableStack();
  const dir = started.use(await tempDir());
  const webroot = join(dir.path, 'acme-challenge');
  await mkdir(webroot);
  const port = await freePort();
  const [, pebble] = await Promise.all([
    startNginx(nginxServer(port, webroot), port).then(nginx => started.use(nginx)),
    startPebble({ ...options, httpPort: port }).then(running => started.use(running)),
  ]);
  const ca = started.use(await startFaultProxy(pebble));

  const running = new Set<ChildProcess>();
  started.defer(() => {
    for (const child of running) child.kill('SIGKILL');
  });

  const trust = { ACME_CAFILE: pebble.caFile };

  function start({ path }: ShamanDirectory, env: Record<string, string> = {}) {
    const { PATH, NODE_COMPILE_CACHE } = process.env;
    const child = spawn(process.execPath, [main, 'shaman', path], {
      env: { PATH, ...(NODE_COMPILE_CACHE && { NODE_COMPILE_CACHE }), ...trust, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = toEnded(child);
    running.add(child);
    void ended.then(() => running.delete(child));
    return { child, ended };
  }

  const parts = started.move();
  return {
    ...{ pebble, ca, webroot, start },
    async directory(json) {
      const path = await mkdtemp(join(dir.path, 'shaman-'));
      const directory = openDirectory(path);
      await directory.write({ server: ca.directoryUrl, renewal: 10, ...json });
      await directory.program('prove-challenge', proveChallenge(webroot));
      return directory;
    },
    run: ({ path }) => callQuarry(['shaman', path], trust),
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

/** The examples of shaman's page; those for nginx and bash are concorde's own. */
const example = {
  profile: shownBlock('shared/shaman/shaman.md', 'json', '"server"'),
  nginx: shownBlock('shared/shaman/shaman.md', 'nginx'),
  program: shownBlock('shared/shaman/shaman.md', 'bash'),
};

/** The least that a profile holds. */
export const leastProfile = (): object => JSON.parse(example.profile);

/** But for where nginx listens and where the files are. */
const nginxServer = (port: number, webroot: string) =>
  example.nginx.replace('listen 80;', `listen 127.0.0.1:${port};`).replace('/mnt/acme-challenge', webroot);

const proveChallenge = (webroot: string) => example.program.replace('/mnt/acme-challenge', webroot);

function openDirectory(path: string): ShamanDirectory {
  const text = (file: string) => readFile(join(path, file), 'utf8');
  return {
    path,
    text,
    json: async () => JSON.parse(await text('shaman.json')),
    write: value => writeFile(join(path, 'shaman.json'), JSON.stringify(value)),
    async program(name, script) {
      await writeFile(join(path, name), script);
      await chmod(join(path, name), 0o755);
    },
  };
}

async function toEnded(child: ChildProcess): Promise<Ended> {
  let [stdout, stderr] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', text => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', text => {
    stderr += text;
  });
  const [code, signal] = await once(child, 'close');
  return { code: code ?? signal, stdout, stderr };
}
