import type { Clock } from '../base/clock.ts';
import { IssuanceError, type IssuanceErrorCode, type Problem } from '../base/errors.ts';
import { escapeGlob, type Store } from '../base/redis.ts';
import { afterFailure, type FailureHistory } from './failure-backoff.ts';
import { keysOf, type LimitedOrder, setKey } from './limited-order.ts';
import { readRateLimit } from './rate-limit.ts';

const HISTORY_LIFE = 2 * 24 * 3_600_000;

/** One entry of what is parked, as an operator sees it. */
export type Limit = {
  key: string;
  /** Milliseconds since the epoch; absent where only an operator can end it. */
  until?: number | undefined;
  detail: string;
  /** The names of the order that ran into it. */
  names: string[];
};

/** A limit that is known from before: the CA was not asked. */
export class StandingLimitError extends IssuanceError {}

/** What a CA has refused to the whole fleet, and what failed too often; in Redis, so that nobody asks twice. */
export type Limits = {
  /**
   * Why this order cannot be made now, with what is left to wait: `rateLimited`, `challengeFailed`, or `unavailable` where
   * the CA asked everybody to wait for a moment.
   */
  standingAgainst(order: LimitedOrder): Promise<StandingLimitError | undefined>;
  /** Remembers a `rateLimited` error, or an `unavailable` one with a Retry-After, for all that it covers. */
  park(order: LimitedOrder, error: IssuanceError): Promise<Limit[]>;
  /**
   * Remembers a `challengeFailed` error.
   *
   * @returns when the same names may be tried again, in milliseconds since the epoch; `undefined`: at once
   */
  recordFailure(order: LimitedOrder, error: IssuanceError): Promise<number | undefined>;
  /** Forgets the failures of these names. */
  recordSuccess(order: LimitedOrder): Promise<void>;
  list(): Promise<Limit[]>;
  /** @returns whether there was such a limit */
  clear(key: string): Promise<boolean>;
};

type Parked = { code: IssuanceErrorCode; until?: number; detail: string; names: string[]; problem?: Problem };
type Failed = FailureHistory & Omit<Parked, 'until'>;

export function openLimits({ redis, prefix }: Store, clock: Clock): Limits {
  const parkedKey = (key: string) => `${prefix}:limit:${key}`;
  const failedKey = (order: LimitedOrder) => parkedKey(toFailuresKey(order));
  const names = ({ identifiers }: LimitedOrder) => identifiers.map(({ value }) => value);
  const write = async (key: string, value: Parked | Failed, until: number | undefined) => {
    await (until === undefined
      ? redis.set(key, JSON.stringify(value))
      : redis.set(key, JSON.stringify(value), 'PXAT', Math.ceil(Math.max(until, clock.now() + 1))));
  };

  return {
    async standingAgainst(order) {
      const [failed, ...parked] = await redis.mget([failedKey(order), ...keysOf(order).map(parkedKey)]);
      const now = clock.now();
      const limits = parked.filter(text => text !== null).map(text => JSON.parse(text as string) as Parked);
      const last = limits.sort((a, b) => (b.until ?? Infinity) - (a.until ?? Infinity))[0];
      if (last && (last.until ?? Infinity) > now) return toError(last, last.until);
      const history = failed ? (JSON.parse(failed) as Failed) : undefined;
      return history && history.until > now ? toError(history, history.until) : undefined;
    },
    async park(order, error) {
      const { keys, until } = readRateLimit(order, error, clock.now());
      const limit: Parked = { code: error.code, detail: error.message, names: names(order) };
      if (until !== undefined) limit.until = until;
      if (error.problem) limit.problem = error.problem;
      for (const key of keys) await write(parkedKey(key), limit, until);
      return keys.map(key => ({ key, until, detail: limit.detail, names: limit.names }));
    },
    async recordFailure(order, error) {
      const text = await redis.get(failedKey(order));
      const now = clock.now();
      const history = afterFailure(text ? (JSON.parse(text) as Failed) : undefined, now, Math.random());
      const failed: Failed = { ...history, code: error.code, detail: error.message, names: names(order) };
      if (error.problem) failed.problem = error.problem;
      await write(failedKey(order), failed, history.until + HISTORY_LIFE);
      return history.until > now ? history.until : undefined;
    },
    recordSuccess: async order => {
      await redis.del(failedKey(order));
    },
    async list() {
      const limits: Limit[] = [];
      for await (const keys of redis.scanStream({ match: `${escapeGlob(prefix)}:limit:*`, count: 500 })) {
        for (const key of keys as string[]) {
          const text = await redis.get(key);
          if (!text) continue;
          const { until, detail, names } = JSON.parse(text) as Parked;
          if (until === undefined || until > clock.now())
            limits.push({ key: key.slice(parkedKey('').length), until, detail, names });
        }
      }
      return limits.sort((a, b) => a.key.localeCompare(b.key));
    },
    clear: async key => (await redis.del(parkedKey(key))) > 0,
  };
}

const toFailuresKey = ({ identifiers }: LimitedOrder) => setKey(identifiers).replace(/^set/, 'failures');

function toError({ code, detail, problem }: Omit<Parked, 'until'>, until: number | undefined) {
  return new StandingLimitError(code, detail, { retryAfter: until, problem });
}
