import { setTimeout as delay } from 'node:timers/promises';
import { startQuarry } from '../support/quarry.ts';
import type { Benchmark, Subject, Tell } from './benchmark.ts';
import { fakeGround } from './ground.ts';
import { startBareServer } from './load.ts';
import { cpuSeconds, residentMegabytes } from './process-figures.ts';
import { takeSamples } from './samples.ts';
import { median, percentile } from './statistics.ts';

const roles = ['worker', 'intake', 'responder', 'scheduler'] as const;
const starts = 5;
const concurrency = 64;
/** After which a role that is ready is taken to be idle. */
const idleMs = 1_500;

/** `readyMs` from the start, `cpuMs` until then; `megabytes` of memory when it is idle. */
type Start = { readyMs: number; cpuMs: number; megabytes: number };

type Server = AsyncDisposable & { pid: number };

async function measureStart(start: () => Promise<Server>): Promise<Start> {
  const startedAt = performance.now();
  await using server = await start();
  const readyMs = performance.now() - startedAt;
  const cpuMs = (await cpuSeconds(server.pid)) * 1000;
  await delay(idleMs);
  return { readyMs, cpuMs, megabytes: await residentMegabytes(server.pid) };
}

const figures = {
  cpu: (role: string) => `ms CPU until the ${role} is ready`,
  ready: (role: string) => `ms until the ${role} is ready`,
  memory: (role: string) => `MB of the ${role} when it is idle`,
};

/** Each role in turn. The first start of each is not measured: it makes the account, and fills caches. */
const subject: Subject = async function* ({ root }, tell) {
  await using stack = new AsyncDisposableStack();
  const { ini } = await fakeGround(true)(stack, concurrency);
  for (const role of roles) await measureStart(() => startQuarry(role, ini, { root }));
  for (let round = 0; round < starts; round++) {
    for (const role of roles) {
      const { readyMs, cpuMs, megabytes } = await measureStart(() => startQuarry(role, ini, { root }));
      tell(`${role}: ready after ${Math.round(readyMs)} ms`);
      yield { figure: figures.cpu(role), value: cpuMs };
      yield { figure: figures.ready(role), value: readyMs };
      yield { figure: figures.memory(role), value: megabytes };
    }
  }
};

/**
 * What each role takes to be ready, and the memory that it has then, idle; beside the least that a Node
 * server takes which has a connection to Redis.
 */
export const benchRoles: Benchmark = { subject, run };

async function run(tell: Tell) {
  await using stack = new AsyncDisposableStack();
  const { redis } = await fakeGround(false)(stack, concurrency);
  const bare: Start[] = [];
  while (bare.length < starts) bare.push(await measureStart(() => startBareServer(redis.url, 'none')));
  const of = await takeSamples(subject, tell);
  const middle = (figure: string) => median(of(figure));
  const bareCpu = median(bare.map(({ cpuMs }) => cpuMs));
  const describe = (role: string) => {
    const [ready, cpu, memory] = [figures.ready(role), figures.cpu(role), figures.memory(role)].map(middle);
    return `${role} ready after ${ready?.toFixed(0)} ms with ${cpu?.toFixed(0)} ms CPU, idle ${memory?.toFixed(0)} MB`;
  };
  return {
    value: middle(figures.cpu('worker')),
    unit: 'ms CPU until a worker is ready',
    beside: 'a bare Node server with a connection to Redis; p50 and p99 are the time until ready',
    besideValue: bareCpu,
    p50: middle(figures.ready('worker')),
    p99: percentile(of(figures.ready('worker')), 0.99),
    besideP50: median(bare.map(({ readyMs }) => readyMs)),
    besideP99: percentile(
      bare.map(({ readyMs }) => readyMs),
      0.99,
    ),
    besideMegabytes: median(bare.map(({ megabytes }) => megabytes)),
    held: Object.fromEntries(
      roles.flatMap(role => [
        [`${role}: CPU until it is ready, times a bare server's`, middle(figures.cpu(role)) / bareCpu],
        [figures.memory(role), middle(figures.memory(role))],
      ]),
    ),
    note: roles.map(describe).join('; '),
  };
}
