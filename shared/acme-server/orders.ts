import {
  type ClientChallenge,
  clientChallenges,
  type ProofType,
  proofTypes,
} from '../admission/client-proof.ts';
import { fromSealed, type Seals, toSealed } from '../admission/hmac.ts';
import type { Clock } from '../base/basics.ts';
import type { Problem } from '../base/errors.ts';
import type { Identifier } from '../base/identifier.ts';
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
} from '../base/redis.ts';
import { runInTurn, type ScriptRun } from '../base/run-in-turn.ts';
import { accountKeys } from './account-life.ts';
import { type ClientCertificate, openCertificates } from './certificates.ts';
import { openListOrders } from './list-orders.ts';
import { CREATE, END } from './order-scripts.ts';
import { replaceRecord, unchanged } from './replace-record.ts';
import { findReplaced } from './replaces.ts';

// The orders of our own ACME clients, each with all of its authorizations in one record.

export type OrderChallenge = {
  type: ClientChallenge;
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
  type: oneOf(...clientChallenges),
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

  /** The scripts that end an order which is still as it was read: all answer 1 where nobody was faster. */
  async function ending(kept: Kept, ended: Ended): Promise<ScriptRun[]> {
    const marked = await markingReplaced(ended);
    const end = endingAlone(kept, ended);
    return marked ? [unchanged(key(ended.order.id), kept.text), marked, end] : [end];
  }

  function endingAlone({ text }: Kept, { order, certificate }: Ended): ScriptRun {
    const { id, account } = order;
    const now = clock.now();
    const life = Math.max(endOf(order, certificate, now) - now, 1);
    const keys = [key(id), unfinishedKey(account), listKey(account)];
    const args = [text, sealed(order), life, id, now + life];
    if (certificate) {
      const { fingerprint, renewalId } = certificate;
      const ofAccount = [accounts.record(account), accounts.use(account), accounts.all];
      keys.push(certificates.key(fingerprint), ...ofAccount);
      if (renewalId) keys.push(certificates.renewalKey(renewalId));
      args.push(certificates.seal(certificate), fingerprint, account, accounts.byKey(''));
    }
    return { script: END, keys, args };
  }

  /** Notes at the certificate whose place an order takes that it has done so. */
  async function markingReplaced({ order, certificate }: Ended): Promise<ScriptRun | undefined> {
    const replaced = certificate && (await findReplaced(certificates, order));
    return replaced && certificates.marking(replaced.fingerprint, { replacedBy: order.id });
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
    ending,
    /** @returns `undefined` where somebody else was faster */
    async end(kept: Kept, ended: Ended): Promise<Kept | undefined> {
      const runs = await ending(kept, ended);
      const isDone = (await runInTurn(redis, runs)) === runs.length;
      return isDone ? { order: ended.order, text: sealed(ended.order) } : undefined;
    },
    list: openListOrders(redis, { root: `${root}order:`, listKey, parse }),
  };
}
