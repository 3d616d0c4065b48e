import { fromSealed, type Seals, toSealed } from '../admission/hmac.ts';
import { isNumber, isText, oneOf, runScript, type Store, shapeOf, toScript } from '../base/redis.ts';
import type { WaitsFor } from '../order/order-state.ts';
import type { JobLock } from './consumer.ts';
import { IS_HELD } from './job-locks.ts';
import { SIGN_QUEUE } from './sign-job.ts';

// How workers tell of sign jobs that somebody listens for. Whoever listens keeps a key of the job, and looks
// where the job is. The next move of the job is published, once, until somebody has looked again: so a job
// costs at most one message a look, and nothing where nobody listens.

/** Where moves are published: the job's id, no more. */
export const movesChannel = (prefix: string) => `${prefix}:moves`;

/**
 * What the key of a job begins with that is there while somebody listens for it; the job's id follows. It is
 * `1` where the job's next move is to be published, else `0`.
 */
export const heardKeys = (prefix: string) => `${prefix}:heard:`;

/** For scripts: a function `tell_move`, which is given the key above, the channel and the job's id. */
export const TELL_MOVE = `
local function tell_move(heard, channel, id)
  if redis.call('GET', heard) ~= '1' then return end
  redis.call('SET', heard, '0', 'KEEPTTL')
  redis.call('PUBLISH', channel, id)
end`;

/**
 * What a worker does with a job, where no checkpoint says it: it waits, or finalizes the order of that URL.
 */
export type Doing = WaitsFor | { for: 'certificate'; order: string };

const doingOf = (jobId: string) => `${SIGN_QUEUE} doing ${jobId}`;
const isWaiting = shapeOf<{ for: string }>({ for: oneOf('names', 'storage') });
const isLimited = shapeOf<Extract<Doing, { until: number }>>({ for: oneOf('limit'), until: isNumber });
const isFinalizing = shapeOf<Extract<Doing, { order: string }>>({
  ...{ for: oneOf('certificate'), order: isText },
});
export const isDoing = (value: unknown): value is Doing =>
  isWaiting(value) || isLimited(value) || isFinalizing(value);

export const sealDoing = (seals: Seals, jobId: string, doing: Doing | undefined): string =>
  doing ? toSealed(seals, doingOf(jobId), JSON.stringify(doing)) : '';

/** The JSON of it; `undefined` where it bears no seal. */
export const unsealDoing = (seals: Seals, jobId: string, sealed: string): string | undefined =>
  fromSealed(seals, doingOf(jobId), sealed);

/**
 * Notes in the job what is done with it. KEYS: lock, job, who hears of it. ARGV: the lock's token, takes,
 * what is done, the channel, the job's id.
 */
const NOTE = toScript(`${IS_HELD}${TELL_MOVE}
if not is_held() then return 0 end
redis.call('HSET', KEYS[2], 'doing', ARGV[3])
tell_move(KEYS[3], ARGV[4], ARGV[5])
return 1`);

/** The worker's side. */
export type Moves = {
  /** Says that the order is finalized next, which no checkpoint does before the CA has answered. */
  tellFinalizing(lock: JobLock, order: string): Promise<void>;
};

export function openMoves({ redis, prefix }: Store, seals: Seals): Moves {
  return {
    async tellFinalizing({ jobId, token, takes = '' }, order) {
      const job = `${prefix}:${SIGN_QUEUE}:${jobId}`;
      const doing = sealDoing(seals, jobId, { for: 'certificate', order });
      const keys = [`${job}:lock`, job, heardKeys(prefix) + jobId];
      await runScript(redis, NOTE, keys, [token, takes, doing, movesChannel(prefix), jobId]);
    },
  };
}
