import type { Clock } from '../base/clock.ts';
import { IssuanceError, type IssuanceErrorCode, type Problem } from '../base/errors.ts';
import { escapeGlob, type Store } from '../base/redis.ts';
import type { Identifier } from '../pki/identifier.ts';
import { afterFailure, type FailureHistory } from './failure-backoff.ts';
import {
  accountKey,
  domainKey,
  failuresKey,
  type LimitScope,
  nameKey,
  registeredDomains,
  setKey,
} from './limit-keys.ts';
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

/** Limits that a CA has answered with, and names that failed too often; in Redis, so that no worker asks twice. */
export type Limits = {
  /**
   * Why names cannot be ordered now, with what is left to wait: `rateLimited`, `challengeFailed`, or `unavailable` where
   * the CA asked all clients to wait for a moment.
   */
  standingAgainst(identifiers: Identifier[]): Promise<StandingLimitError | undefined>;
  /** Remembers a `rateLimited` error, or an `unavailable` one with a Retry-After, for all that it covers. */
  park(identifiers: Identifier[], error: IssuanceError): Promise<Limit[]>;
  /**
   * Remembers a `challengeFailed` error.
   *
   * @returns when the same names may be tried again, in milliseconds since the epoch; `undefined`: at once
   */
  recordFailure(identifiers: Identifier[], error: IssuanceError): Promise<number | undefined>;
  /** Forgets the failures of these names. */
  recordSuccess(identifiers: Identifier[]): Promise<void>;
};

type Parked = { code: IssuanceErrorCode; until?: number; detail: string; names: string[]; problem?: Problem };
type Failed = FailureHistory & Omit<Parked, 'until'>;

const parkedKey = ({ prefix }: Pick<Store, 'prefix'>, key: string) => `${prefix}:limit:${key}`;
const namesOf = (identifiers: Identifier[]) => identifiers.map(({ value }) => value);

export function openLimits(store: Store, scope: LimitScope, clock: Clock): Limits {
  const { redis } = store;
  const failedKey = (identifiers: Identifier[]) => parkedKey(store, failuresKey(identifiers));

  async function write(key: string, value: Parked | Failed, until: number | undefined): Promise<void> {
    const text = JSON.stringify(value);
    if (until === undefined) await redis.set(key, text);
    else await redis.set(key, text, 'PXAT', Math.ceil(Math.max(until, clock.now() + 1)));
  }

  return {
    async standingAgainst(identifiers) {
      const keys = keysOf(identifiers, scope).map(key => parkedKey(store, key));
      const [failed, ...parked] = await redis.mget([failedKey(identifiers), ...keys]);
      return findStanding(failed, parked, clock.now());
    },
    async park(identifiers, error) {
      const { keys, until } = readRateLimit(identifiers, scope, error, clock.now());
      const limit: Parked = { code: error.code, detail: error.message, names: namesOf(identifiers) };
      if (until !== undefined) limit.until = until;
      if (error.problem) limit.problem = error.problem;
      for (const key of keys) await write(parkedKey(store, key), limit, until);
      return keys.map(key => ({ key, until, detail: limit.detail, names: limit.names }));
    },
    async recordFailure(identifiers, error) {
      const text = await redis.get(failedKey(identifiers));
      const now = clock.now();
      const history = afterFailure(text ? (JSON.parse(text) as Failed) : undefined, now, Math.random());
      const { code, message, problem } = error;
      const failed: Failed = { ...history, code, detail: message, names: namesOf(identifiers) };
      if (problem) failed.problem = problem;
      await write(failedKey(identifiers), failed, history.until + HISTORY_LIFE);
      return history.until > now ? history.until : undefined;
    },
    recordSuccess: async identifiers => {
      await redis.del(failedKey(identifiers));
    },
  };
}

/** All keys whose limits an order has to respect. */
function keysOf(identifiers: Identifier[], scope: LimitScope): string[] {
  return [
    accountKey(scope),
    setKey(identifiers, scope),
    ...registeredDomains(identifiers).map(domain => domainKey(domain, scope)),
    ...identifiers.map(({ value }) => nameKey(value, scope)),
  ];
}

function findStanding(
  failed: string | null | undefined,
  parked: (string | null)[],
  now: number,
): StandingLimitError | undefined {
  const limits = parked.filter(text => text !== null).map(text => JSON.parse(text) as Parked);
  const last = limits.sort((a, b) => (b.until ?? Infinity) - (a.until ?? Infinity))[0];
  if (last && (last.until ?? Infinity) > now) return toError(last, last.until);
  const history = failed ? (JSON.parse(failed) as Failed) : undefined;
  return history && history.until > now ? toError(history, history.until) : undefined;
}

function toError({ code, detail, problem }: Omit<Parked, 'until'>, until: number | undefined) {
  return new StandingLimitError(code, detail, { retryAfter: until, problem });
}

/** All that is held back now, by whichever CA. */
export async function listLimits({ redis, prefix }: Store, clock: Clock): Promise<Limit[]> {
  const limits: Limit[] = [];
  const match = `${escapeGlob(prefix)}:limit:*`;
  for await (const keys of redis.scanStream({ match, count: 500 })) {
    for (const key of keys as string[]) {
      const text = await redis.get(key);
      if (!text) continue;
      const { until, detail, names } = JSON.parse(text) as Parked;
      if (until !== undefined && until <= clock.now()) continue;
      limits.push({ key: key.slice(parkedKey({ prefix }, '').length), until, detail, names });
    }
  }
  return limits.sort((a, b) => a.key.localeCompare(b.key));
}

/**
 * Lets what a key names be tried again.
 *
 * @param key as `listLimits` has it; without its `@ca` it is that of every CA
 * @returns the keys that were cleared
 */
export async function clearLimit(store: Store, key: string, clock: Clock): Promise<string[]> {
  const found = await listLimits(store, clock);
  const meant = found.filter(limit => limit.key === key || limit.key.startsWith(`${key}@`));
  for (const limit of meant) await store.redis.del(parkedKey(store, limit.key));
  return meant.map(limit => limit.key);
}
