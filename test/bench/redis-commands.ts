import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';

const idleMs = 3_000;
/** In which what follows the work is told. */
const lingerMs = 300;

/** So many commands within so many seconds. */
type Count = { commands: number; seconds: number };

/**
 * How many commands clients send Redis because of some work, without those that scripts call: what they send
 * when there is nothing to do, such as polls, is taken off.
 */
export async function countCommands(redisUrl: string, work: () => Promise<unknown>): Promise<number> {
  const redis = new Redis(redisUrl);
  const monitor = await redis.monitor();
  let commands = 0;
  monitor.on('monitor', (_time: string, _command: string[], source: string) => {
    if (source !== 'lua') commands++;
  });
  const count = async (during: () => Promise<unknown>): Promise<Count> => {
    const [startedAt, before] = [performance.now(), commands];
    await during();
    await delay(lingerMs);
    return { commands: commands - before, seconds: (performance.now() - startedAt) / 1000 };
  };
  try {
    const busy = await count(work);
    return withoutIdle(busy, await count(() => delay(idleMs)));
  } finally {
    monitor.disconnect();
    redis.disconnect();
  }
}

export const withoutIdle = (busy: Count, idle: Count) =>
  busy.commands - (idle.commands * busy.seconds) / idle.seconds;
