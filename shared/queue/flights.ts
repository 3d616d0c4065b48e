import { createHash } from 'node:crypto';
import type { Store } from '../base/redis.ts';
import type { SignJobData } from './sign-job-data.ts';

/** Longer than any job lives, so that nobody is kept out for ever by a job that Redis has lost. */
const LIFE_SECONDS = 65 * 60;

/** Takes the flight where it is free or this job's already. */
const ENTER = `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1`;

const LEAVE = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`;

/**
 * One order at a time for one account, set of names and certificate profile: Let's Encrypt hands the same pending order to
 * all that ask for the same names, whatever their CSRs.
 */
export type Flights = {
  /** @returns false while another job has an order for the same */
  enter(jobId: string, data: SignJobData): Promise<boolean>;
  leave(jobId: string, data: SignJobData): Promise<void>;
  /** Where the flight is kept: the id of the job that has it. */
  key(data: SignJobData): string;
};

export function openFlights({ redis, prefix }: Store): Flights {
  const keyOf = ({ account, identifiers, certificateProfile }: SignJobData) => {
    const names = identifiers.map(({ type, value }) => `${type}:${value}`).sort();
    const what = JSON.stringify([account, certificateProfile ?? null, names]);
    return `${prefix}:flight:${createHash('sha256').update(what).digest('hex')}`;
  };
  return {
    enter: async (jobId, data) => (await redis.eval(ENTER, 1, keyOf(data), jobId, LIFE_SECONDS)) === 1,
    leave: async (jobId, data) => {
      await redis.eval(LEAVE, 1, keyOf(data), jobId);
    },
    key: keyOf,
  };
}
