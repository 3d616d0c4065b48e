import { isNumber, isText, listOf, optional, shapeOf } from '../base/redis.ts';

/**
 * What happened. `admitted`: an auth block let a client order. `refused`: a request got nothing. `ordered`: a
 * CA has made the order. `issued`: a CA has issued. `failed`: a job ended without a certificate.
 * `handed-out`: a client got a certificate that was there already. `renewed`: a scheduler has a certificate
 * renewed. `revoked`: the CA has revoked. `account-made`, `account-changed`: of an account of an ACME client.
 * `operator`: an act at a command line.
 */
type TrailEventKind =
  | 'admitted'
  | 'refused'
  | 'ordered'
  | 'issued'
  | 'failed'
  | 'handed-out'
  | 'renewed'
  | 'revoked'
  | 'account-made'
  | 'account-changed'
  | 'operator';

/** No secret is ever part of one. */
export type TrailEvent = {
  /** Milliseconds since the epoch, by the clock of who writes it: Redis's (base/clocks.md). */
  at: number;
  event: TrailEventKind;
  names?: readonly string[] | undefined;
  block?: string | undefined;
  /** How the client, or the operator, was known. */
  by?: string | undefined;
  /** Its address. */
  client?: string | undefined;
  account?: string | undefined;
  /** Of the certificate, in hex. */
  serial?: string | undefined;
  /** SHA-256 of the certificate's DER, in hex. */
  fingerprint?: string | undefined;
  /** Ids of the HTTP request and of the job. */
  request?: string | undefined;
  job?: string | undefined;
  /** How many it stands for, where they are merged. */
  count?: number | undefined;
  /** What else there is to say, in one line. */
  detail?: string | undefined;
};

const kinds: Record<TrailEventKind, true> = {
  admitted: true,
  refused: true,
  ordered: true,
  issued: true,
  failed: true,
  'handed-out': true,
  renewed: true,
  revoked: true,
  'account-made': true,
  'account-changed': true,
  operator: true,
};

const isEvent = shapeOf<TrailEvent>({
  ...{ at: isNumber, event: value => Object.hasOwn(kinds, String(value)), names: optional(listOf(isText)) },
  ...{ block: optional(isText), by: optional(isText), client: optional(isText), account: optional(isText) },
  ...{ serial: optional(isText), fingerprint: optional(isText), request: optional(isText) },
  ...{ job: optional(isText), count: optional(isNumber), detail: optional(isText) },
});

/** An event as it is in the stream. */
export type TrailEntry = {
  /**
   * Redis's: the time in milliseconds, `-`, and a number; later entries have greater ones, and events that
   * were written together have the same.
   */
  id: string;
  /** Of several events with the same id, which one this is, from 0 on. */
  part: number;
  /** `undefined` where somebody has written what is none. */
  event: TrailEvent | undefined;
  /** What was written as the event. */
  text: string;
  /** Of `issued`: the certificate, DER in base64. */
  leaf: string | undefined;
};

/**
 * The events of an entry, which may have several: each is a field `event`, and a field `leaf` is of the one
 * before it. An entry without any is one that cannot be read.
 *
 * @param fields by turns a field and its value; trusted in nothing
 */
export function parseEntry(id: string, fields: readonly string[]): TrailEntry[] {
  const found: TrailEntry[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    const [name, text = ''] = fields.slice(at, at + 2);
    const last = found.at(-1);
    if (name === 'event') found.push(toEntry(id, found.length, text));
    else if (name === 'leaf' && last) last.leaf ??= text;
  }
  return found.length > 0 ? found : [toEntry(id, 0, '')];
}

const toEntry = (id: string, part: number, text: string): TrailEntry => ({
  ...{ id, part, event: parseEvent(text), text, leaf: undefined },
});

/** No two events have the same: `1764237600000-0`, and `1764237600000-0.1` of the same moment. */
export const eventId = ({ id, part }: Pick<TrailEntry, 'id' | 'part'>) => (part === 0 ? id : `${id}.${part}`);

function parseEvent(text: string): TrailEvent | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isEvent(value) && !Number.isNaN(new Date(value.at).getTime()) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Whether an id of the stream comes before another. */
export function isBefore(id: string, other: string): boolean {
  const [time = 0, number = 0] = id.split('-').map(Number);
  const [otherTime = 0, otherNumber = 0] = other.split('-').map(Number);
  return time < otherTime || (time === otherTime && number < otherNumber);
}
