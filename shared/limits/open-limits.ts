import type { Clock } from '../base/basics.ts';
import type { IssuanceError } from '../base/errors.ts';
import { toHost } from '../base/host.ts';
import type { Identifier } from '../base/identifier.ts';
import { parseNumber, runScript, type Store, toScript } from '../base/redis.ts';
import { afterFailure, describeSlow, SLOW_AFTER, SLOW_LIFE, SLOW_WITHIN } from './failure-backoff.ts';
import {
  accountKey,
  blockKey,
  domainKey,
  failedClientsKey,
  failedOrdersKey,
  failuresKey,
  type Limit,
  type LimitScope,
  nameKey,
  type Orderer,
  openStandingLimits,
  parkedKey,
  registeredDomains,
  type StandingLimits,
  setDigest,
  setKey,
  slowKey,
} from './limits.ts';
import { type Cover, readRateLimit } from './read-rate-limit.ts';
import { type Failed, type KeptOrder, type Parked, parseFailed } from './standing-limit.ts';

const DAY = 24 * 3_600_000;
const HISTORY_LIFE = 2 * DAY;
const REFUSAL_LIFE = DAY;
const ORDER_LIFE = 7 * DAY;

/** What stands against orders, and what is remembered of those that fail; the whole fleet knows it. */
export type Limits = StandingLimits & {
  /** Remembers a `rateLimited` error, or an `unavailable` one with a Retry-After, for all that it covers. */
  park(identifiers: Identifier[], orderer: Orderer, error: IssuanceError): Promise<Limit[]>;
  /**
   * Remembers a `challengeFailed` error for the same names, proven in the same way.
   *
   * @returns when they may be tried again, in milliseconds since the epoch; `undefined`: at once
   */
  recordFailure(
    identifiers: Identifier[],
    orderer: Orderer,
    error: IssuanceError,
  ): Promise<number | undefined>;
  /**
   * Counts an order that failed validation for its auth block and client, whatever its names.
   *
   * @returns what the block comes under from now on, where this failure has slowed it down
   */
  countFailedOrder(
    identifiers: Identifier[],
    orderer: Orderer,
    error: IssuanceError,
  ): Promise<Limit | undefined>;
  /** How many orders of a client of a block failed since one of that block succeeded. */
  failedOrders(orderer: Orderer): Promise<number>;
  /**
   * Remembers by a CSR's digest that the CA has refused it, for a day; or an order that is still under way,
   * for a week after the time at which the CA wants to be asked again.
   */
  rememberCsr(csr: string, identifiers: Identifier[], error: IssuanceError, order?: KeptOrder): Promise<void>;
  /** Forgets the failures of these names, so proven. */
  recordSuccess(identifiers: Identifier[], orderer: Orderer): Promise<void>;
};

const namesOf = (identifiers: Identifier[]) => identifiers.map(({ value }) => value);

/**
 * Slows a block down whose orders fail at a rate, and keeps it slow while they go on failing.
 *
 * KEYS: the block's failed orders, what slows it down, its failed orders by client. ARGV: now, how many
 * failures are too many, within how long, what slows it down, its life, the client. Answers 2 where it is
 * slowed down by this failure, 1 where it was already.
 */
const COUNT_FAILED_ORDER = toScript(`
redis.call('HINCRBY', KEYS[3], ARGV[6], 1)
redis.call('PEXPIRE', KEYS[3], ARGV[5])
if redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[5])
  return 1
end
local now, most, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('RPUSH', KEYS[1], string.format('%.0f', now))
redis.call('LTRIM', KEYS[1], -most, -1)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local first = tonumber(redis.call('LINDEX', KEYS[1], 0))
if redis.call('LLEN', KEYS[1]) < most or now - first >= window then return 0 end
redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[5])
redis.call('DEL', KEYS[1])
return 2`);

export function openLimits(store: Store, scope: LimitScope, clock: Clock): Limits {
  const { redis } = store;
  const standing = openStandingLimits(store, scope, clock);

  async function write(key: string, value: Parked | Failed, until: number | undefined): Promise<void> {
    const text = JSON.stringify(value);
    if (until === undefined) await redis.set(key, text);
    else await redis.set(key, text, 'PXAT', Math.ceil(Math.max(until, clock.now() + 1)));
  }

  /** Whether somebody else has met, and still meets, a limit whose words say nothing of what it covers. */
  async function anotherHasMet(key: string, own: string, until: number | undefined): Promise<boolean> {
    const end = Math.ceil(Math.max(until ?? 0, clock.now() + 1));
    if ((await redis.set(key, own, 'PXAT', end, 'NX')) !== null) return false;
    return (await redis.get(key)) !== own;
  }

  /**
   * What is taken to be meant by a limit whose words say nothing of what it covers: these names, once others
   * of the same block meet it the block, and once another block does the account. So a tenant whose names
   * earn it one holds up no other.
   */
  async function findUnsaid(
    identifiers: Identifier[],
    { block }: Orderer,
    until: number | undefined,
  ): Promise<string> {
    const met = `${store.prefix}:limit-met:`;
    const set = setDigest(identifiers);
    if (await anotherHasMet(met + accountKey(scope), block ?? set, until)) return accountKey(scope);
    if (block === undefined) return setKey(identifiers, scope);
    const ofBlock = blockKey(block, scope);
    return (await anotherHasMet(met + ofBlock, set, until)) ? ofBlock : setKey(identifiers, scope);
  }

  return {
    ...standing,
    async park(identifiers, orderer, error) {
      const domains = registeredDomains(identifiers);
      const { covers, until } = readRateLimit(identifiers, domains, error, clock.now());
      const unsaid = covers.includes('unsaid') ? await findUnsaid(identifiers, orderer, until) : '';
      const keys = [...new Set(covers.map(cover => toKey(cover, identifiers, scope) ?? unsaid))];
      const limit: Parked = { code: error.code, detail: error.message, names: namesOf(identifiers) };
      if (until !== undefined) limit.until = until;
      if (error.problem) limit.problem = error.problem;
      for (const key of keys) await write(parkedKey(store, key), limit, until);
      return keys.map(key => ({ key, until, detail: limit.detail, names: limit.names }));
    },
    async recordFailure(identifiers, orderer, error) {
      const key = parkedKey(store, failuresKey(identifiers, orderer, scope));
      const text = await redis.get(key);
      const now = clock.now();
      const history = afterFailure(text ? parseFailed({ key, text }) : undefined, now, Math.random());
      const { code, message, problem } = error;
      const failed: Failed = { ...history, code, detail: message, names: namesOf(identifiers) };
      if (problem) failed.problem = problem;
      await write(key, failed, history.until + HISTORY_LIFE);
      return history.until > now ? history.until : undefined;
    },
    async countFailedOrder(identifiers, { block, client = '' }, { message }) {
      if (block === undefined) return undefined;
      const [now, key] = [clock.now(), slowKey(block)];
      const detail = `${describeSlow(block)}; the last one: ${message}`;
      const slow: Parked = {
        code: 'rateLimited',
        until: now + SLOW_LIFE,
        detail,
        names: namesOf(identifiers),
      };
      const keys = [failedOrdersKey(store, block), parkedKey(store, key), failedClientsKey(store, block)];
      const figures = [now, SLOW_AFTER, SLOW_WITHIN, JSON.stringify(slow), SLOW_LIFE, toHost(client)];
      const isNew = (await runScript(redis, COUNT_FAILED_ORDER, keys, figures)) === 2;
      return isNew ? { key, until: slow.until, detail, names: slow.names } : undefined;
    },
    async failedOrders({ block, client = '' }) {
      if (block === undefined) return 0;
      const key = failedClientsKey(store, block);
      const count = await redis.hget(key, toHost(client));
      return count === null ? 0 : parseNumber(key, count);
    },
    async rememberCsr(csr, identifiers, { code, message: detail, problem, retryAfter = 0 }, order) {
      const until = order ? Math.max(retryAfter, clock.now()) + ORDER_LIFE : clock.now() + REFUSAL_LIFE;
      const value: Parked = { code, until, detail, names: namesOf(identifiers) };
      if (problem) value.problem = problem;
      await write(standing.csrKey(csr), order ? { ...value, order } : value, until);
    },
    recordSuccess: async (identifiers, orderer) => {
      await redis.del(standing.failureKeys(identifiers, orderer));
    },
  };
}

/** @returns `undefined` where the CA does not say what it covers */
function toKey(cover: Cover, identifiers: Identifier[], scope: LimitScope): string | undefined {
  if (cover === 'unsaid') return undefined;
  if (cover === 'account') return accountKey(scope);
  if (cover === 'set') return setKey(identifiers, scope);
  return 'name' in cover ? nameKey(cover.name, scope) : domainKey(cover.domain, scope);
}
