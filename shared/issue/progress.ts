import type { Identifier } from '../base/identifier.ts';
import type { Checkpoint, OrderState } from '../order/order-state.ts';
import type { Standing } from '../queue/standing.ts';

// What is going on with a job, for the client that waits for it.

/** Times are in milliseconds since the epoch. */
export type Progress =
  | { is: 'queued'; behind: number }
  /** It waits for a slot of its auth block. */
  | { is: 'parked' }
  /** Its worker is gone, or has just given it back. */
  | { is: 'between' }
  | { is: 'limited'; until: number }
  /** Another job orders the same names. */
  | { is: 'joined' }
  /** A storage cannot be read, and nobody knows whether it has the certificate. */
  | { is: 'unread' }
  | { is: 'later'; at: number }
  | { is: 'ordering' }
  | { is: 'ordered' }
  | { is: 'proving'; identifiers: Identifier[] }
  | { is: 'finalizing' };

/** @returns the one at which the job orders now, or did last; `undefined` where none was begun */
function currentOrder({ saved }: Standing): Checkpoint | undefined {
  if (!saved) return undefined;
  const refused = new Set(saved.refusals.map(({ account }) => account));
  return Object.entries(saved.orders).findLast(([account]) => !refused.has(account))?.[1];
}

function progressOfOrder({ url, finalizedAt, challenges }: OrderState, { doing }: Standing): Progress {
  if (url === undefined) return { is: 'ordering' };
  const isFinalizing = doing?.for === 'certificate' && doing.order === url;
  if (finalizedAt !== undefined || isFinalizing) return { is: 'finalizing' };
  if (challenges.length === 0) return { is: 'ordered' };
  return { is: 'proving', identifiers: challenges.map(({ identifier }) => identifier) };
}

function progressOfWait(standing: Standing, at: number, current: Checkpoint | undefined): Progress {
  const { isParked, doing } = standing;
  if (isParked) return { is: 'parked' };
  if (doing?.for === 'limit') return { is: 'limited', until: doing.until };
  if (doing?.for === 'names') return { is: 'joined' };
  if (doing?.for === 'storage') return { is: 'unread' };
  const isUnderWay = current?.order.url !== undefined && current.failures === 0;
  return isUnderWay ? progressOfOrder(current.order, standing) : { is: 'later', at };
}

/** Says what is going on from where a job stands. */
export function toProgress(standing: Standing): Progress {
  const { behind, back, isHeld } = standing;
  if (behind !== undefined) return { is: 'queued', behind };
  const current = currentOrder(standing);
  if (back !== undefined) return progressOfWait(standing, back, current);
  if (!isHeld) return { is: 'between' };
  return current ? progressOfOrder(current.order, standing) : { is: 'ordering' };
}

const MOST_NAMED = 3;

/** Progress in one line of plain text. */
export function describeProgress(progress: Progress): string {
  switch (progress.is) {
    case 'queued':
      return progress.behind === 0 ? 'next in the queue' : `queued behind ${progress.behind}`;
    case 'parked':
      return 'waiting for a slot of its auth block';
    case 'between':
      return 'waiting for another worker to go on';
    case 'limited':
      return `waiting for the limit of the CA until ${toUtc(progress.until)}`;
    case 'joined':
      return 'waiting for another order for the same names';
    case 'unread':
      return 'waiting for a storage that cannot be read';
    case 'later':
      return `waiting to try again at ${toUtc(progress.at)}`;
    case 'ordering':
      return 'the order is being made';
    case 'ordered':
      return 'the order is made';
    case 'proving':
      return `proving ${listNames(progress.identifiers)}`;
    case 'finalizing':
      return 'finalizing';
  }
}

const LATEST_DATE = 8.64e15;

/** Seconds are fine enough for who waits. Redis may hold any number. */
function toUtc(time: number): string {
  const date = new Date(Math.min(Math.max(time, 0), LATEST_DATE));
  return `${date.toISOString().replace(/\.\d+Z$/, '')}Z`;
}

function listNames(identifiers: Identifier[]): string {
  const names = identifiers.slice(0, MOST_NAMED).map(({ value }) => value);
  const more = identifiers.length - names.length;
  return more > 0 ? `${names.join(', ')} and ${more} more` : names.join(', ');
}

/** Milliseconds. Workers tell of what they do, but nobody tells how a queue goes on. */
const LOOK = { soon: 2_000, late: 10_000 };
const FAR = 100;

/** After how long to look again where nothing was heard of the job, in milliseconds. */
export function nextLook(progress: Progress | undefined): number {
  switch (progress?.is) {
    case 'queued':
      return progress.behind > FAR ? LOOK.late : LOOK.soon;
    case 'ordered':
    case 'proving':
    case 'finalizing':
      return LOOK.late;
    default:
      return LOOK.soon;
  }
}
