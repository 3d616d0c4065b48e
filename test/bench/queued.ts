import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { openSeals, type Seals } from '../../shared/admission/hmac.ts';
import { systemClock } from '../../shared/base/basics.ts';
import { openSecret } from '../../shared/base/installation.ts';
import { openRedis } from '../../shared/base/open-redis.ts';
import { openSignQueue, type SignQueue } from '../../shared/queue/sign-queue.ts';
import type { SignJobData } from '../../shared/queue/sign-records.ts';
import { freePorts } from '../support/free-port.ts';
import { startQuarry } from '../support/quarry.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { tempDir } from '../support/temp-dir.ts';
import type { Figures, Tell } from './benchmark.ts';
import { chainsLike, makeCertificate } from './certificate.ts';
import { runClients } from './clients.ts';
import { startFakeCa } from './fake-ca.ts';
import { configuration, prefix, solverName } from './ground.ts';
import { cpuSeconds, totalCpuSeconds } from './process-figures.ts';
import { firstSibling, makeSiblings } from './sibling-csrs.ts';
import { median, percentile } from './statistics.ts';

const jobs = 10_000;
const addsInFlight = 64;
const workers = 2;
/** The worker's default. */
const concurrency = 64;
/** Jobs put in, and jobs drained, before Redis's durability is changed to the other. */
const slice = 1_000;
const addLimitMs = 5_000;
const drainLimitMs = 180_000;
const lookEveryMs = 10;

const durabilities = ['everysec', 'always'] as const;
type Durability = (typeof durabilities)[number];
/** Of each slice. */
type Rates = Record<Durability, number[]>;

/**
 * 10,000 sign jobs wait while no worker runs: what one takes in Redis and how long it takes to add; then how
 * fast two workers are done with them, at a CA that answers at once. Redis keeps its append-only file with
 * `appendfsync everysec` and with `always` in turn, every thousand jobs.
 */
export async function benchQueued(tell: Tell): Promise<Figures> {
  await using stack = new AsyncDisposableStack();
  const { path: dir } = stack.use(await tempDir());
  const server = stack.use(await startRedis({ appendonly: true }));
  const redis = stack.adopt(new Redis(server.url), redis => redis.disconnect());
  const { csrPem, chain } = await makeCertificate(dir, [firstSibling]);

  const secret = await openSecret(join(dir, 'account', 'installation.key'), quietLog);
  const before = await usedMemory(redis);
  const added = await addJobs(server.url, redis, makeJobs(csrPem), openSeals(secret));
  const memoryPerJob = ((await usedMemory(redis)) - before) / jobs;
  for (const durability of durabilities) {
    tell(`${durability}: p99 of adding ${percentile(added.latencies[durability], 0.99).toFixed(1)} ms`);
  }

  const ca = stack.use(await startFakeCa({ chainOf: chainsLike(chain, firstSibling) }));
  const [intakePort, responderPort] = (await freePorts(2)) as [number, number];
  const ini = configuration({ dir, intakePort, responderPort, concurrency, redisUrl: server.url, ...ca });
  const cpuBefore = await cpuSeconds(server.pid);
  const running = await Promise.all(Array.from({ length: workers }, () => startQuarry('worker', ini)));
  for (const worker of running) stack.use(worker);
  const drained = await drain(redis, ca.issued, tell);
  const cpu = (await totalCpuSeconds([server.pid, ...running.map(({ pid }) => pid)])) - cpuBefore;
  const sizes = { memoryPerJob, csrBytes: csrPem.length, syncMs: await measureSync(dir) };
  return toFigures(added, drained, { ...sizes, cpuPerJob: (cpu * 1000) / jobs });
}

function makeJobs(csrPem: string): SignJobData[] {
  return makeSiblings(csrPem, jobs).map(({ name, csr }, index) => ({
    csr,
    identifiers: [{ type: 'dns', value: name }],
    accounts: [{ account: 'default' }],
    solvers: [solverName],
    storage: 'none',
    block: 'all',
    requestId: `request-${index}`,
  }));
}

type Added = { latencies: Rates; rates: Rates };

async function addJobs(redisUrl: string, control: Redis, data: SignJobData[], seals: Seals): Promise<Added> {
  await using stack = new AsyncDisposableStack();
  const redis = stack.adopt(openRedis({ url: redisUrl }, 'impatient', quietLog), redis => redis.disconnect());
  while (redis.status !== 'ready') await delay(lookEveryMs);
  const parts = {
    store: { redis, prefix },
    redisAddress: { url: redisUrl },
    seals,
    clock: systemClock,
    log: quietLog,
  };
  const queue: SignQueue = stack.use(openSignQueue(parts));
  const added: Added = { latencies: { everysec: [], always: [] }, rates: { everysec: [], always: [] } };
  for (let from = 0; from < data.length; from += slice) {
    const durability = await alternate(control, from / slice);
    const tasks = data.slice(from, from + slice).map(job => () => queue.enqueue(job));
    const { latencies, seconds } = await runClients(addsInFlight, tasks, addLimitMs);
    added.latencies[durability].push(...latencies);
    added.rates[durability].push(slice / seconds);
  }
  return added;
}

type Drained = { rates: Rates; seconds: number };

/**
 * Timed from the first certificate to the last; the slice in which the workers warm up counts for nothing
 * else.
 */
async function drain(redis: Redis, issued: () => number, tell: Tell): Promise<Drained> {
  const rates: Rates = { everysec: [], always: [] };
  const deadline = performance.now() + drainLimitMs;
  const until = async (count: number) => {
    while (issued() < count) {
      if (performance.now() > deadline) throw new Error(`only ${issued()} of ${jobs} jobs were done in time`);
      await delay(lookEveryMs);
    }
    return { count: issued(), at: performance.now() };
  };
  const first = await until(1);
  let last = await until(slice);
  for (let index = 0; last.count < jobs; index++) {
    const durability = await alternate(redis, index);
    const next = await until(Math.min(last.count + slice, jobs));
    const rate = ((next.count - last.count) * 1000) / (next.at - last.at);
    rates[durability].push(rate);
    tell(`${durability}: ${Math.round(rate)} jobs/s drained`);
    last = next;
  }
  return { rates, seconds: (last.at - first.at) / 1000 };
}

async function alternate(redis: Redis, index: number): Promise<Durability> {
  const durability = durabilities[index % 2] as Durability;
  await redis.config('SET', 'appendfsync', durability);
  return durability;
}

async function usedMemory(redis: Redis): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1]);
}

/**
 * What `always` costs depends on this: the median milliseconds in which the disk has a write safe, by its own
 * account.
 */
async function measureSync(dir: string): Promise<number> {
  await using file = await open(join(dir, 'synced'), 'a');
  const times: number[] = [];
  while (times.length < 100) {
    await file.write('x'.repeat(512));
    const startedAt = performance.now();
    await file.datasync();
    times.push(performance.now() - startedAt);
  }
  return median(times);
}

/** `cpuPerJob` in milliseconds: the workers from their start, and Redis while they run. */
type Costs = { memoryPerJob: number; csrBytes: number; syncMs: number; cpuPerJob: number };

function toFigures(added: Added, drained: Drained, costs: Costs): Figures {
  const { memoryPerJob, csrBytes, syncMs, cpuPerJob } = costs;
  const rate = median(drained.rates.everysec);
  const besideRate = median(drained.rates.always);
  const { everysec, always } = added.latencies;
  return {
    value: rate,
    unit: 'jobs/s drained',
    beside: 'the same with appendfsync always; p50 and p99 are those of adding a job',
    besideValue: besideRate,
    p50: percentile(everysec, 0.5),
    p99: percentile(everysec, 0.99),
    besideP50: percentile(always, 0.5),
    besideP99: percentile(always, 0.99),
    jobs,
    bytesPerJob: memoryPerJob,
    csrBytes,
    syncMs,
    addsPerSecond: median(added.rates.everysec),
    besideAddsPerSecond: median(added.rates.always),
    drainSeconds: drained.seconds,
    sliceRates: drained.rates.everysec,
    besideSliceRates: drained.rates.always,
    workers,
    concurrency,
    addsInFlight,
    cpuMilliseconds: cpuPerJob,
    held: { 'ms CPU a job': cpuPerJob, 'bytes of Redis a job': memoryPerJob },
    note: [
      `${cpuPerJob.toFixed(1)} ms CPU a job, the workers' start included`,
      `${Math.round(memoryPerJob)} bytes of Redis a job, of which the CSR ${csrBytes}`,
      `drained in ${drained.seconds.toFixed(1)} s, about half of it with always`,
      `a sync to this disk takes ${syncMs.toFixed(2)} ms`,
      `added ${Math.round(median(added.rates.everysec))}/s, beside ${Math.round(median(added.rates.always))}/s`,
    ].join('; '),
  };
}
