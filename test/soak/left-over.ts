import { Redis } from 'ioredis';

/** What is in Redis when all clients have got what they wanted. */
export type LeftOver = {
  /** Jobs that failed, in BullMQ's sense: nobody was told. */
  failedJobs: number;
  /** Jobs that wait, are delayed, or are worked on. */
  openJobs: number;
  /** Challenge responses that were not taken back. */
  challengeResponses: number;
  /** Names that nobody may order, as a job has not left. */
  flights: number;
};

const queue = '{quarry}:sign';

/** Looks into Redis until nothing is left to do there, or until the time is over. */
export async function findLeftOver(port: number, timeoutMs: number): Promise<LeftOver> {
  const redis = new Redis(port);
  try {
    const end = performance.now() + timeoutMs;
    for (;;) {
      const left = await look(redis);
      const { openJobs, challengeResponses, flights } = left;
      if (openJobs + challengeResponses + flights === 0 || performance.now() > end) return left;
      await new Promise(done => setTimeout(done, 500));
    }
  } finally {
    redis.disconnect();
  }
}

async function look(redis: Redis): Promise<LeftOver> {
  const lists = await Promise.all(['wait', 'active', 'paused'].map(name => redis.llen(`${queue}:${name}`)));
  const sets = await Promise.all(['delayed', 'prioritized'].map(name => redis.zcard(`${queue}:${name}`)));
  return {
    failedJobs: await redis.zcard(`${queue}:failed`),
    openJobs: [...lists, ...sets].reduce((sum, count) => sum + count),
    challengeResponses: (await redis.keys('{quarry}:http-01:*')).length,
    flights: (await redis.keys('{quarry}:flight:*')).length,
  };
}
