import { type ProofType, proofTypes } from '../admission/client-proof.ts';
import { fromSealed, type Seals, toSealed } from '../admission/hmac.ts';
import type { Clock, Problem } from '../base/basics.ts';
import type { ChallengeType, Identifier } from '../base/identifier.ts';
import {
  isNumber,
  isText,
  listOf,
  oneOf,
  optional,
  parseValue,
  runScript,
  type Store,
  shapeOf,
  toScript,
} from '../base/redis.ts';
import { accountKeys, NOTE_ISSUED } from './account-life.ts';
import { type ClientCertificate, openCertificates } from './certificates.ts';
import { openListOrders } from './list-orders.ts';
import { replaceRecord } from './replace-record.ts';
import { findReplaced } from './replaces.ts';

// The orders of our own ACME clients, each with all of its authorizations in one record.

export type OrderChallenge = {
  type: ChallengeType;
  /** RFC 8555 section 8: base64url, of at least 128 bits. */
  token: string;
  status: 'pending' | 'processing' | 'valid' | 'invalid';
  /** Milliseconds since the epoch. */
  validated?: number;
  error?: Problem;
};

/** Of the identifier at the same place in the order. */
export type Authorization = {
  status: 'pending' | 'valid' | 'invalid' | 'deactivated';
  /** How the client has proven the name to Quarry, where its auth block wants it. */
  proof?: ProofType;
  challenges: OrderChallenge[];
};

/** An order of an ACME client at Quarry (RFC 8555 section 7.1.3). Times in milliseconds since the epoch. */
export type Order = {
  /** Unguessable. */
  id: string;
  /** The id of the client's account at Quarry. */
  account: string;
  identifiers: Identifier[];
  status: 'pending' | 'ready' | 'processing' | 'valid' | 'invalid';
  created: number;
  expires: number;
  /** The auth block that admitted it, and the address that it came from. */
  block: string;
  client: string;
  /** The certificate profile that the client wants; absent where that of the block counts. */
  profile?: string;
  /** The renewal id of the certificate that it is to replace (RFC 9773 section 5). */
  replaces?: string;
  authorizations: Authorization[];
  /** From finalize on: canonical PEM, and the sign job. */
  csr?: string;
  job?: string;
  /** The fingerprint of what was issued. */
  certificate?: string;
  error?: Problem;
};

/** An order as it is in Redis. */
export type Kept = { order: Order; text: string };

/** How an order ends, and what was issued. */
export type Ended = { order: Order; certificate?: ClientCertificate };

/** Milliseconds. */
export const ORDER_LIFE = 24 * 3_600_000;
/**
 * For which a client can read an order of its own that came to nothing. The order counts as unfinished as
 * long, or a client whose orders all fail would fill Redis.
 */
const FAILED_LIFE = 15 * 60_000;
/**
 * For which an order at work is there at least: one that is finalized in its last minute must outlive its
 * job, which takes an hour at most, or its certificate would be lost.
 */
const LEAST_AT_WORK = 2 * 3_600_000;
/** Of one account; orders end with their jobs, or after a day. */
const MOST_UNFINISHED = 300;
/** Of one account; the list forgets those that came before. */
const MOST_LISTED = 10_000;

const isProblem = shapeOf<Pick<Problem, 'type'>>({ type: isText });
const isChallenge = shapeOf<OrderChallenge>({
  type: oneOf('http-01', 'dns-01', 'tls-alpn-01', 'dns-persist-01'),
  ...{ token: isText, status: oneOf('pending', 'processing', 'valid', 'invalid') },
  ...{ validated: optional(isNumber), error: optional(isProblem) },
});
const isAuthorization = shapeOf<Authorization>({
  status: oneOf('pending', 'valid', 'invalid', 'deactivated'),
  proof: optional(oneOf(...proofTypes)),
  challenges: listOf(isChallenge),
});
const isOrder = shapeOf<Order>({
  ...{ id: isText, account: isText, status: oneOf('pending', 'ready', 'processing', 'valid', 'invalid') },
  identifiers: listOf(shapeOf<Identifier>({ type: oneOf('dns', 'ip'), value: isText })),
  ...{ created: isNumber, expires: isNumber, block: isText, client: isText },
  ...{ profile: optional(isText), replaces: optional(isText), authorizations: listOf(isAuthorization) },
  ...{ csr: optional(isText), job: optional(isText), certificate: optional(isText) },
  error: optional(isProblem),
});

/**
 * Writes a new order, unless its account has too many that are not finished. Times in the list of an account
 * are made to differ, so that a page ends at one.
 *
 * KEYS: order, the account's orders by when they came, its unfinished ones by when they expire. ARGV: the
 * order, its life, its id, now, when it expires, how many may be unfinished, how many are listed. Answers
 * nil, or when the first of those that stand in the way expires.
 */
const CREATE = toScript(`
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[4])
if redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[6]) then
  return redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2]
end
local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')[2] or 0
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZADD', KEYS[2], string.format('%.0f', math.max(ARGV[4], last + 1)), ARGV[3])
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - ARGV[7])
redis.call('ZADD', KEYS[3], ARGV[5], ARGV[3])
for i = 2, 3 do
  if redis.call('PTTL', KEYS[i]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
end
return false`);

/**
 * Ends an order that is still as it was read, once. With a certificate, its order and what leads to it live
 * as long, and its account for ever.
 *
 * KEYS: order, the account's unfinished orders, its list of orders, then where there is a certificate: that,
 * the account, its use, all accounts, and what leads to it by its renewal id where it has one. ARGV: the
 * order before, the order after, its life, its id, when that ends, the certificate, its fingerprint, the
 * account's id, and what the keys begin with that name accounts by their key.
 */
const END = toScript(`${NOTE_ISSUED}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if not KEYS[4] then
  redis.call('ZADD', KEYS[2], 'XX', ARGV[5], ARGV[4])
  return 1
end
redis.call('ZREM', KEYS[2], ARGV[4])
if redis.call('PTTL', KEYS[3]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[3], ARGV[3]) end
redis.call('SET', KEYS[4], ARGV[6], 'PX', ARGV[3])
note_issued(ARGV[8], KEYS[5], KEYS[6], KEYS[7], ARGV[9])
if KEYS[8] then redis.call('SET', KEYS[8], ARGV[7], 'PX', ARGV[3]) end
return 1`);

/** Until when an order that has ended is there, in milliseconds since the epoch. */
const endOf = ({ expires }: Order, certificate: ClientCertificate | undefined, now: number): number =>
  certificate ? Math.max(certificate.notAfter, expires) : now + FAILED_LIFE;

export type Orders = ReturnType<typeof openOrders>;

/** @param seals of the installation: a record without its seal is not there */
export function openOrders(store: Store, seals: Seals, clock: Clock) {
  const { redis } = store;
  const root = `${store.prefix}:acme:`;
  const [certificates, accounts] = [openCertificates(store, seals), accountKeys(store.prefix)];
  const key = (id: string) => `${root}order:${id}`;
  const listKey = (account: string) => `${root}orders:${account}`;
  const unfinishedKey = (account: string) => `${root}unfinished:${account}`;
  const sealed = (order: Order) => toSealed(seals, `acme order ${order.id}`, JSON.stringify(order));

  /** @throws IssuanceError `misconfigured` where a record with a good seal is damaged */
  function parse(id: string, text: string | null | undefined): Kept | undefined {
    const json = text ? fromSealed(seals, `acme order ${id}`, text) : undefined;
    return text && json !== undefined ? { order: parseValue(key(id), json, isOrder), text } : undefined;
  }

  return {
    key,
    parse,
    read: async (id: string): Promise<Kept | undefined> => parse(id, await redis.get(key(id))),
    /**
     * @returns when there is room for another one, in milliseconds since the epoch, where the account has too
     *   many
     */
    async create(order: Order): Promise<number | undefined> {
      const { id, account, expires } = order;
      const now = clock.now();
      const keys = [key(id), listKey(account), unfinishedKey(account)];
      const values = [sealed(order), expires - now, id, now, expires, MOST_UNFINISHED, MOST_LISTED];
      const full = await runScript(redis, CREATE, keys, values);
      return full ? Number(full) : undefined;
    },
    /** @returns `undefined` where somebody else was faster */
    async replace({ text }: Kept, order: Order): Promise<Kept | undefined> {
      const after = sealed(order);
      const isAtWork = order.status === 'processing';
      const change = { before: text, after, ...(isAtWork && { leastLife: LEAST_AT_WORK }) };
      const isDone = await replaceRecord(redis, key(order.id), change);
      return isDone ? { order, text: after } : undefined;
    },
    /** @returns `undefined` where somebody else was faster */
    async end({ text }: Kept, { order, certificate }: Ended): Promise<Kept | undefined> {
      const { id, account } = order;
      const after = sealed(order);
      const now = clock.now();
      const life = Math.max(endOf(order, certificate, now) - now, 1);
      const keys = [key(id), unfinishedKey(account), listKey(account)];
      const values = [text, after, life, id, now + life];
      if (certificate) {
        const { fingerprint, renewalId } = certificate;
        keys.push(
          certificates.key(fingerprint),
          accounts.record(account),
          accounts.use(account),
          accounts.all,
        );
        if (renewalId) keys.push(certificates.renewalKey(renewalId));
        values.push(certificates.seal(certificate), fingerprint, account, accounts.byKey(''));
      }
      if ((await runScript(redis, END, keys, values)) !== 1) return undefined;
      const replaced = certificate && (await findReplaced(certificates, order));
      if (replaced) await certificates.mark(replaced.fingerprint, { replacedBy: id });
      return { order, text: after };
    },
    list: openListOrders(redis, { root: `${root}order:`, listKey, parse }),
  };
}
