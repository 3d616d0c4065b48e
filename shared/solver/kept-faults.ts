import { needingRedis, type Store } from '../base/redis.ts';
import { type ChallengeResponse, RESPONSE_LIFE, type Solver } from './solver.ts';

type Look = NonNullable<Solver['selfCheck']>['look'];

/** Characters of a fault; more would be no line for a client. */
const LONGEST_FAULT = 1_000;

/**
 * Keeps what a look found wrong until the CA has failed the order, which may be minutes later and in another
 * process.
 */
export function openKeptFaults(
  { redis, prefix }: Store,
  look: Look,
): Omit<NonNullable<Solver['selfCheck']>, 'mode'> {
  const keyOf = ({ token }: ChallengeResponse) => `${prefix}:look-fault:${token}`;
  return {
    async look(response, signal) {
      const fault = await look(response, signal);
      if (fault !== undefined)
        await needingRedis(() =>
          redis.set(keyOf(response), fault.slice(0, LONGEST_FAULT), 'EX', RESPONSE_LIFE),
        ).catch(() => {}); // the log has it
      return fault;
    },
    async faultOf(response) {
      const fault = await redis.get(keyOf(response));
      return fault === null ? undefined : toOneLine(fault);
    },
  };
}

/** Whoever can write to Redis may have written anything. */
const toOneLine = (text: string) => text.slice(0, LONGEST_FAULT).replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ');
