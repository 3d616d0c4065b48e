import { setTimeout as delay } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { startQuarry } from '../support/quarry.ts';
import type { Subject } from './benchmark.ts';
import { runClients } from './clients.ts';
import { fakeGround, prefix } from './ground.ts';
import { makeCsrs, type NamedCsr } from './named-csrs.ts';
import { totalCpuSeconds } from './process-figures.ts';

const workers = 2;
/** The worker's default. */
const concurrency = 64;
/** Orders that wait at once. */
const slice = 1_000;
const slices = 6;
const postsInFlight = 32;
const postLimitMs = 10_000;
const drainLimitMs = 180_000;
const lookEveryMs = 10;

/**
 * Two workers, whose queue stands still while an intake of their tree fills it: how long they take until it
 * is empty, again and again. The first time, in which they warm up, does not count.
 */
export const drainSubject: Subject = async function* ({ root }, tell) {
  await using stack = new AsyncDisposableStack();
  const { redis, ini, intakePort, keyPem } = await fakeGround(false)(stack, concurrency);
  const control = stack.adopt(new Redis(redis.url), control => control.disconnect());
  await control.config('SET', 'appendonly', 'yes');
  const connection = { url: redis.url };
  const queue = stack.adopt(new Queue('sign', { connection, prefix }), queue => queue.close());
  const csrs = await makeCsrs(slice * slices, 1, keyPem);
  for (const role of ['responder', 'intake'] as const) stack.use(await startQuarry(role, ini, { root }));
  const starting = Array.from({ length: workers }, () => startQuarry('worker', ini, { root }));
  const running = await Promise.all(starting);
  for (const worker of running) stack.use(worker);
  const pids = [redis.pid, ...running.map(({ pid }) => pid)];

  for (let round = 0; round < slices; round++) {
    await queue.pause();
    await post(csrs.splice(0, slice), intakePort);
    const cpuBefore = await totalCpuSeconds(pids);
    const startedAt = performance.now();
    await queue.resume();
    await untilEmpty(queue);
    const ms = performance.now() - startedAt;
    const cpuMs = ((await totalCpuSeconds(pids)) - cpuBefore) * 1000;
    tell(`${Math.round((slice * 1000) / ms)} jobs/s drained`);
    if (round === 0) continue;
    yield { figure: 'ms until a waiting order is done, drained by two workers', value: ms / slice };
    yield { figure: "ms CPU for it, the workers' and Redis's", value: cpuMs / slice };
  }
};

/** None waits for its certificate. */
async function post(csrs: NamedCsr[], port: number): Promise<void> {
  const posts = csrs.map(({ csr }) => async () => {
    const headers = { Prefer: 'respond-async' };
    const answer = await fetch(`http://127.0.0.1:${port}/sign`, { method: 'POST', body: csr, headers });
    if (answer.status !== 202) throw new Error(`a post was answered with ${answer.status}`);
    await answer.arrayBuffer();
  });
  await runClients(postsInFlight, posts, postLimitMs);
}

async function untilEmpty(queue: Queue): Promise<void> {
  const deadline = performance.now() + drainLimitMs;
  while ((await queue.getJobCountByTypes('prioritized', 'wait', 'delayed', 'active')) > 0) {
    if (performance.now() > deadline) throw new Error('the queue was not emptied in time');
    await delay(lookEveryMs);
  }
}
