import { setTimeout as delay } from 'node:timers/promises';
import { type Redis, startRedis } from '../support/redis.ts';
import { startRedisSentinels } from '../support/redis-sentinel.ts';

export type SoakRedis = AsyncDisposable & {
  /** Lines of `[redis]`. */
  lines: string;
  /** Kills what holds the data. Resolves once it is back, so many milliseconds later, or has a successor. */
  kill(forMs: number): Promise<void>;
  /** Of what holds the data now. */
  port(): Promise<number>;
};

/** A Redis of its own that keeps its data, or a master and its replica behind Sentinels. */
export function startSoakRedis(hasSentinels: boolean): Promise<SoakRedis> {
  return hasSentinels ? startBehindSentinels() : startAlone();
}

async function startAlone(): Promise<SoakRedis> {
  const redis = await startRedis({ appendonly: true });
  return {
    lines: `url = ${redis.url}`,
    async kill(forMs) {
      await redis.kill();
      await delay(forMs);
      await redis.restart();
    },
    port: async () => redis.port,
    [Symbol.asyncDispose]: () => redis[Symbol.asyncDispose](),
  };
}

/** What was the master comes back as it was; the Sentinels make it a replica of its successor. */
async function startBehindSentinels(): Promise<SoakRedis> {
  const redis = await startRedisSentinels();
  let whole: Promise<void> = Promise.resolve();
  async function comeBack(node: Redis, forMs: number): Promise<void> {
    await delay(forMs);
    await node.restart();
    await redis.untilInStep();
  }
  return {
    lines: redis.lines,
    async kill(forMs) {
      await whole; // else none would be left
      const master = await redis.master();
      await master.kill();
      await redis.untilOtherThan(master);
      whole = comeBack(master, forMs);
      whole.catch(() => {}); // it is waited for by the next kill
    },
    port: async () => (await redis.master()).port,
    async [Symbol.asyncDispose]() {
      await whole.catch(() => {});
      await redis[Symbol.asyncDispose]();
    },
  };
}
