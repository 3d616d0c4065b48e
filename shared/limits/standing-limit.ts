import { IssuanceError, type IssuanceErrorCode, isFailureCode, type Problem } from '../base/errors.ts';
import { either, isNumber, isText, listOf, optional, parseValue, shapeOf } from '../base/redis.ts';
import { toTime } from '../base/to-time.ts';
import type { FailureHistory } from './failure-backoff.ts';

// What stands against an order, as Redis has it.

/** A limit that is known from before: the CA was not asked. */
export class StandingLimitError extends IssuanceError {}

/** An order that the CA was still working on when its job ended; the next job for the same CSR goes on. */
export type KeptOrder = {
  url: string;
  account: string;
  certificateProfile?: string | undefined;
  /** When finalize was sent last, where the CA may be at it still; milliseconds since the epoch. */
  finalizedAt?: number | undefined;
  /** Whether it counts for the CA's limits. */
  turn?: 'counted' | 'exempt' | undefined;
  /** Of who kept it, over all of the rest; the order is gone on with only where it is right. */
  seal?: string | undefined;
};

/** What a CA held back; without `until` only an operator can end it. Milliseconds since the epoch. */
export type Parked = {
  code: IssuanceErrorCode;
  until?: number;
  detail: string;
  names: string[];
  problem?: Problem;
  order?: KeptOrder;
};

/** Names that failed too often. */
export type Failed = FailureHistory & Omit<Parked, 'until' | 'order'>;

/**
 * Why no certificate is issued for a public key any more; `at` is in milliseconds since the epoch, and absent
 * where that is damaged.
 */
export type BlockedKey = { reason: string; at?: number };

const said = {
  code: isFailureCode,
  detail: isText,
  names: listOf(isText),
  problem: optional(shapeOf({ type: isText })),
};
const isTurn = (value: unknown): value is KeptOrder['turn'] => value === 'counted' || value === 'exempt';
const isKept = shapeOf<KeptOrder>({
  url: isText,
  account: isText,
  certificateProfile: optional(isText),
  finalizedAt: optional(isNumber),
  turn: optional(isTurn),
  seal: optional(isText),
});
const isParked = shapeOf<Parked>({ ...said, until: optional(isNumber), order: optional(isKept) });
const isFailed = shapeOf<Failed>({ ...said, recent: listOf(isNumber), level: isNumber, until: isNumber });
const isDate = (value: unknown) => typeof value === 'number' && !Number.isNaN(new Date(value).getTime());
const isBlocked = shapeOf<BlockedKey>({ reason: isText, at: isDate });
const isStanding = either(isBlocked, either(isFailed, isParked));

/** A value of Redis, and the key that it is under. */
type Found = { key: string; text: string };

export const parseFailed = ({ key, text }: Found): Failed => parseValue(key, text, isFailed);
export const parseParked = ({ key, text }: Found): Parked => parseValue(key, text, isParked);
export const parseBlocked = ({ key, text }: Found): BlockedKey => parseValue(key, text, isBlocked);

/** A block whose reason is damaged is one still; unblocking the key ends it. */
export function parseBlock(found: Found): BlockedKey {
  try {
    return parseBlocked(found);
  } catch {
    return { reason: `the value of ${found.key} in Redis, which says why, is damaged` };
  }
}

/** The most lasting of what was found, if that is not over. */
export function standingOf(found: readonly Found[], now: number): StandingLimitError | undefined {
  const all = found.map(({ key, text }) => sayWhoseItIs(key, parseValue(key, text, isStanding)));
  const blocked = all.find(one => 'reason' in one);
  if (blocked) return refuseKey(blocked);
  const limits = all.filter(one => 'code' in one);
  const held = limits.filter(one => !('recent' in one || 'order' in one));
  const refused = held.find(one => one.code === 'badCsr' && endOf(one) > now);
  if (refused) return toError({ ...refused, until: undefined }); // waiting makes it no better
  const parked = held.sort((a, b) => endOf(b) - endOf(a))[0];
  if (parked && endOf(parked) > now) return toError(parked);
  const failed = limits.find(one => 'recent' in one);
  return failed && endOf(failed) > now ? toError(failed) : undefined;
}

/** Others' orders may have earned what a CA counts for a name. */
function sayWhoseItIs<One extends BlockedKey | Failed | Parked>(key: string, limit: One): One {
  const name = /:limit:name\/(.*?)@/.exec(key)?.[1];
  if (name === undefined || !('detail' in limit)) return limit;
  return { ...limit, detail: `${limit.detail} (${countedForAll(name)})` };
}

/** In the answer to a client that may have had no part in it. */
export const countedForAll = (name: string) =>
  `the CA counts failures of ${name} for everybody who orders it here`;

/** The order that one of what was found keeps for an account. */
export const keptOrder = (found: readonly Found[], account: string): KeptOrder | undefined =>
  found
    .map(({ key, text }) => parseValue(key, text, isStanding))
    .flatMap(one => ('order' in one && one.order ? [one.order] : []))
    .find(order => order.account === account);

const endOf = ({ until = Number.POSITIVE_INFINITY }: Pick<Parked, 'until'>) => until;

function toError({ code, detail, problem, until }: Parked): StandingLimitError {
  return new StandingLimitError(code, detail, { retryAfter: until, problem });
}

/** For who would have a certificate for a blocked key. */
export function refuseKey({ reason, at }: BlockedKey): StandingLimitError {
  const since = at === undefined ? '' : ` since ${toTime(at)}`;
  const detail = `the public key is blocked${since}; make a new key: ${reason}`;
  return new StandingLimitError('denied', detail);
}
