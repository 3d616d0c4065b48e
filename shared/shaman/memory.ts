import type { RenewalInfo } from '../acme/renewal-info.ts';
import type { Checkpoint, OrderState } from '../order/order-state.ts';
import type { IssuedBy } from '../storage/storage.ts';

// What a run keeps in `shaman.json` beyond concorde's keys: under the key `quarry`, which concorde passes
// over.

/** Of the whole file. */
export type ProfileMemory = {
  /**
   * Where the account was made, and the thumbprint of its key (RFC 7638): a `server` or a `key` that is
   * changed later has another.
   */
  account?: { server: string; url: string; thumbprint?: string };
};

/**
 * Of one domain. Times in milliseconds since the epoch; in the file they are texts of ISO 8601, for people.
 */
export type DomainMemory = {
  /** The order of `order_id`. */
  order?: OrderMemory;
  /** Which of Quarry's accounts issued the certificate of `certificate_id`; absent: the profile's own. */
  issuedBy?: IssuedBy;
  renewal?: RenewalMemory;
  failures?: FailureMemory;
  /** The certificate (SHA-256 of its file) that `deploy` was run for last. */
  deployed?: string;
};

/** An order that is under way. */
export type OrderMemory = OrderState & {
  url: string;
  /** What it is for. */
  names: string[];
  /** Which of Quarry's accounts it is by; absent: the profile's own. */
  account?: string;
  /** Whether it counts for the CA's limits; absent until that is known. */
  turn?: Checkpoint['turn'];
};

/** When the certificate is to be renewed, chosen once. */
export type RenewalMemory = {
  /** The certificate's name in renewal information; another certificate has another window. */
  id: string;
  /** Whether the CA knows it by that name: then a new order says what it replaces. */
  named: boolean;
  /** What the CA suggests, or in a few words why nothing is known of it. */
  info: Pick<RenewalInfo, 'start' | 'end' | 'explanationUrl'> | { none: string };
  /** Not to ask the CA again before. */
  askAgain?: number;
  /** Failed questions in a row. */
  askedInVain?: number;
  /** When to renew it and why then; without what failed attempts make of it. */
  at: number;
  why: string;
  /** Whether days were spread over a while for it. */
  spread?: true;
};

/** Failed attempts since the last certificate. */
export type FailureMemory = { count: number; last: number; detail: string; retryAfter?: number };

const times = new Set([
  'start',
  'end',
  'at',
  'askAgain',
  'last',
  'retryAfter',
  'presentedAt',
  'initiatedAt',
  'finalizedAt',
]);

/** As it goes into the file; `undefined` where there is nothing to keep. */
export function formatMemory(memory: ProfileMemory | DomainMemory): unknown {
  const text = JSON.stringify(memory, (key, value) =>
    times.has(key) && typeof value === 'number' ? new Date(value).toISOString() : value,
  );
  return text === '{}' ? undefined : JSON.parse(text);
}

/** It can all be had again from the CA, so what somebody has damaged is passed over. */
export function parseDomainMemory(value: unknown): DomainMemory {
  const { order, issuedBy, renewal, failures, deployed } = revive(value);
  return {
    ...(isOrder(order) && { order }),
    ...(isIssuedBy(issuedBy) && { issuedBy }),
    ...(isRenewal(renewal) && { renewal }),
    ...(isFailures(failures) && { failures }),
    ...(typeof deployed === 'string' && { deployed }),
  };
}

export function parseProfileMemory(value: unknown): ProfileMemory {
  const account = toObject(revive(value).account);
  const { server, url, thumbprint } = account;
  if (typeof server !== 'string' || typeof url !== 'string') return {};
  return { account: { server, url, ...(typeof thumbprint === 'string' && { thumbprint }) } };
}

function revive(value: unknown): Record<string, unknown> {
  const text = JSON.stringify(value ?? {});
  return toObject(
    JSON.parse(text, (key, one) => {
      if (!times.has(key)) return one;
      const time = typeof one === 'string' ? Date.parse(one) : Number.NaN;
      return Number.isNaN(time) ? undefined : time;
    }),
  );
}

function isOrder(value: unknown): value is OrderMemory {
  const { url, challenges, names, initiated, polls } = toObject(value);
  const whole = typeof url === 'string' && typeof initiated === 'boolean' && typeof polls === 'number';
  return whole && isTexts(names) && Array.isArray(challenges) && challenges.every(isChallenge);
}

function isChallenge(value: unknown): boolean {
  const { identifier, url, token, solver, told } = toObject(value);
  const { type, value: name } = toObject(identifier);
  return isTexts([type, name, url, token, solver]) && typeof told === 'boolean';
}

function isIssuedBy(value: unknown): value is IssuedBy {
  const { account, directory } = toObject(value);
  return isTexts([account, directory]);
}

function isRenewal(value: unknown): value is RenewalMemory {
  const { id, named, info, at, why } = toObject(value);
  const { start, end, none } = toObject(info);
  const known = typeof none === 'string' || (typeof start === 'number' && typeof end === 'number');
  return known && typeof named === 'boolean' && isTexts([id, why]) && typeof at === 'number';
}

function isFailures(value: unknown): value is FailureMemory {
  const { count, last, detail } = toObject(value);
  return typeof count === 'number' && typeof last === 'number' && typeof detail === 'string';
}

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every(one => typeof one === 'string');

const toObject = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
