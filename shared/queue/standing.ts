import { fromSealed, type Seals } from '../admission/hmac.ts';
import type { Identifier } from '../base/identifier.ts';
import { needingRedis, parseValue, runScript, type Store, toScript } from '../base/redis.ts';
import { isSealedData } from './bullmq.ts';
import { type Doing, heardKeys, isDoing, unsealDoing } from './moves.ts';
import { isSavedProgress, type SavedProgress } from './saved-progress.ts';
import { isSignJobData, SIGN_QUEUE } from './sign-job.ts';
import { checkpointOf } from './sign-records.ts';

// What a process that waits for a job can know of it before it ends.

/** Where a job is that has not ended. */
export type Standing = {
  /** How many are taken before it, as things are now, where it waits for a worker. */
  behind?: number;
  /** When it comes back from its wait, in milliseconds since the epoch, where it waits for something else. */
  back?: number;
  /** Whether it waits for a slot of its auth block. */
  isParked: boolean;
  /** Whether a worker has it. */
  isHeld: boolean;
  /** What its worker said last that no checkpoint says; it may be over. */
  doing: Doing | undefined;
  saved: SavedProgress | undefined;
};

/**
 * KEYS: the job, its lock, its checkpoint, who hears of it; the jobs that wait for a worker, those that have
 * lost theirs, those that wait for something else, those that are parked. ARGV: the job's id, for how many
 * seconds somebody hears of its next move, or 0. Answers nil where there is no such job, or it has ended.
 */
const READ = toScript(`
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('HEXISTS', KEYS[1], 'finishedOn') == 1 then return false end
if ARGV[2] ~= '0' then redis.call('SET', KEYS[4], '1', 'EX', ARGV[2]) end
local before = redis.call('ZRANK', KEYS[5], ARGV[1])
return {
  before and before + redis.call('LLEN', KEYS[6]) or -1,
  redis.call('ZSCORE', KEYS[7], ARGV[1]) or '',
  redis.call('ZSCORE', KEYS[8], ARGV[1]) and 1 or 0,
  redis.call('EXISTS', KEYS[2]),
  redis.call('HGET', KEYS[1], 'doing') or '',
  redis.call('GET', KEYS[3]) or ''
}`);

type Read = [
  behind: number,
  back: string,
  isParked: number,
  isHeld: number,
  doing: string,
  checkpoint: string,
];

/** BullMQ's score of a job that waits is the time times this, and a counter. */
const UNIT = 0x1000;
/** Longer than any pause between two looks. */
const HEARD_SECONDS = 30;

/** Throws IssuanceError: `unavailable` when Redis cannot be reached, `misconfigured` for what is damaged. */
export type Standings = {
  /**
   * @param block the auth block that admitted the job
   * @param isHeard whether `listen` is to be called at the job's next move
   * @returns `undefined` where it has ended, or is not known
   */
  read(jobId: string, block: string, isHeard: boolean): Promise<Standing | undefined>;
  /** Calls `onMove` at the next move of a job that was read with `isHeard`, at most once for each reading. */
  listen(jobId: string, onMove: () => void): Disposable;
  /** What a job orders; `undefined` where it has ended, is not known, or bears no seal. */
  namesOf(jobId: string): Promise<Identifier[] | undefined>;
  /** Takes a message of the channel of moves. */
  tell(jobId: string): void;
};

export function openStandings({ redis, prefix }: Store, seals: Seals): Standings {
  const queue = `${prefix}:${SIGN_QUEUE}:`;
  const lists = ['prioritized', 'wait', 'delayed'].map(list => `${queue}${list}`);
  const listeners = new Map<string, Set<() => void>>();

  function parse(jobId: string, checkpointKey: string, read: Read): Standing {
    const [behind, back, isParked, isHeld, sealedDoing, sealed] = read;
    const doing = unsealDoing(seals, jobId, sealedDoing);
    const saved = fromSealed(seals, checkpointOf(jobId), sealed);
    return {
      ...(behind >= 0 && { behind }),
      ...(back !== '' && { back: Math.floor(Number(back) / UNIT) }),
      isParked: isParked === 1,
      isHeld: isHeld === 1,
      doing: doing === undefined ? undefined : parseValue(`${queue}${jobId} doing`, doing, isDoing),
      saved: saved === undefined ? undefined : parseValue(checkpointKey, saved, isSavedProgress),
    };
  }

  return {
    read: (jobId, block, isHeard) =>
      needingRedis(async () => {
        const job = `${queue}${jobId}`;
        const checkpointKey = `${prefix}:checkpoint:${jobId}`;
        const own = [job, `${job}:lock`, checkpointKey, heardKeys(prefix) + jobId];
        const keys = [...own, ...lists, `${prefix}:parked:${block}`];
        const read = await runScript(redis, READ, keys, [jobId, isHeard ? HEARD_SECONDS : 0]);
        return read ? parse(jobId, checkpointKey, read as Read) : undefined;
      }),
    namesOf: jobId =>
      needingRedis(async () => {
        const key = `${queue}${jobId}`;
        const text = await redis.hget(key, 'data');
        if (text === null) return undefined;
        const data = parseValue(`${key} data`, text, isSignJobData);
        return isSealedData(seals, SIGN_QUEUE, jobId, data) ? data.identifiers : undefined;
      }),
    listen(jobId, onMove) {
      const ofJob = listeners.get(jobId) ?? new Set();
      listeners.set(jobId, ofJob.add(onMove));
      return {
        [Symbol.dispose]() {
          ofJob.delete(onMove);
          if (ofJob.size === 0 && listeners.get(jobId) === ofJob) listeners.delete(jobId);
        },
      };
    },
    tell(jobId) {
      for (const onMove of listeners.get(jobId) ?? []) onMove();
    },
  };
}
