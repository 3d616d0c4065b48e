import { hash } from 'node:crypto';
import { isNumber, isText, oneOf, shapeOf } from '../base/redis.ts';
import { eventId, type TrailEntry } from './event.ts';
import type { SigningKey } from './signing-key.ts';

// The lines of the trail's files: JSON, each with its number and the hash of the line before it.

/** Where the trail ends: the number of the last line, and the SHA-256 of its bytes in hex. */
export type ChainEnd = { n: number; hash: string };

export const BEGINNING: ChainEnd = { n: 0, hash: '0'.repeat(64) };

/** Every line begins so. */
export const linePrefix = ({ n, hash }: ChainEnd) => `{"n":${n + 1},"prev":"${hash}"`;

/** @param more what the line says */
function toLine(after: ChainEnd, more: object): { text: string; end: ChainEnd } {
  const text = `${linePrefix(after)},${JSON.stringify(more).slice(1)}`;
  return { text, end: { n: after.n + 1, hash: hash('sha256', text) } };
}

const LONGEST_UNREADABLE = 10_000;

/** What is no event is kept as it is: whoever wrote it may have had a reason. */
export function toEventLine(after: ChainEnd, { event, text, ...of }: TrailEntry) {
  const id = eventId(of);
  if (!event) return toLine(after, { id, event: 'unreadable', text: text.slice(0, LONGEST_UNREADABLE) });
  const { at, event: kind, names, block, by, client, account, serial, fingerprint } = event;
  const { request, job, count, detail } = event;
  const who = { names, block, by, client, account, serial, fingerprint, request, job, count, detail };
  return toLine(after, { id, time: toTime(at), event: kind, ...who });
}

/** `start` and `end` are the first and the last line of a file; `hour` follows the events of an hour. */
export type MarkKind = 'start' | 'hour' | 'end';

/** A signature over all that stands before it. @param now milliseconds since the epoch */
export function toMarkLine(after: ChainEnd, mark: MarkKind, trail: string, key: SigningKey, now: number) {
  const signed = signedText({ trail, mark, n: after.n + 1, prev: after.hash, time: toTime(now) });
  return toLine(after, { mark, key: key.publicKey.fingerprint, signed, signature: key.sign(signed) });
}

/** What the signature of a mark covers: `prev` stands for all lines before it. */
const signedText = (of: { trail: string; mark: MarkKind; n: number; prev: string; time: string }) =>
  `quarry trail ${of.trail} ${of.mark} at line ${of.n} after ${of.prev} time ${of.time}`;

type Mark = { n: number; prev: string; mark: MarkKind; signed: string; signature: string };

export const isMark = shapeOf<Mark>({
  ...{ n: isNumber, prev: isText, mark: oneOf('start', 'hour', 'end'), signed: isText, signature: isText },
});

/** What a mark says by its signed text; `undefined` where that is not of this very line. */
export function readMark({ n, prev, mark, signed }: Mark): { trail: string; time: string } | undefined {
  const [, trail = '', time = ''] = /^quarry trail (\S+) .* time (\S+)$/.exec(signed) ?? [];
  return signedText({ trail, mark, n, prev, time }) === signed ? { trail, time } : undefined;
}

/**
 * What the sealer found. `mended`: what a crash had left behind the last line was cut off. `resumed`: Redis
 * did not know where the trail ended. `lost`: lines or events are missing.
 */
export type NoteKind = 'mended' | 'resumed' | 'lost';

export const toNoteLine = (after: ChainEnd, note: NoteKind, detail: string, now: number) =>
  toLine(after, { note, time: toTime(now), detail });

export type Note = { note: NoteKind; time: string; detail: string };

export const isNote = shapeOf<Note>({
  note: oneOf('mended', 'resumed', 'lost'),
  ...{ time: isText, detail: isText },
});

/** The trail's end as it was sealed last, signed; it lies beside the files, and in Redis. */
export type Head = ChainEnd & {
  trail: string;
  /** The first line that is kept. */
  from: number;
  time: string;
  signature: string;
  /** Where the sealer goes on. */
  at: Place;
};

/** The file and its size in bytes, the last entry of the stream, and whether events follow the last mark. */
export type Place = { file: string; size: number; id: string; unmarked: boolean };

export const toHead = (
  { n, hash }: ChainEnd,
  { trail, from, now, at }: { trail: string; from: number; now: number; at: Place },
  key: SigningKey,
): Head => {
  const head = { trail, n, hash, from, time: toTime(now), at };
  return { ...head, signature: key.sign(headText(head)) };
};

/** What the signature of a head covers. */
export function headText({ trail, n, hash, from, time, at }: Omit<Head, 'signature'>): string {
  const place = `${at.file} ${at.size} ${at.id} ${at.unmarked ? 'unmarked' : 'marked'}`;
  return `quarry trail ${trail} ends at line ${n} with ${hash} begins at line ${from} time ${time} at ${place}`;
}

const isPlace = shapeOf<Place>({
  ...{
    file: value => value === '' || isTrailFile(String(value)),
    size: isNumber,
    id: isText,
    unmarked: value => typeof value === 'boolean',
  },
});

export const isHead = shapeOf<Head>({
  ...{ n: isNumber, hash: isText, trail: isText, from: isNumber, time: isText, signature: isText },
  at: isPlace,
});

const fileName = /^\d{4}-\d\d-\d\d\.jsonl$/;
export const isTrailFile = (name: string) => fileName.test(name);
/** Of a day in UTC. @param time milliseconds since the epoch */
export const fileOf = (time: number) => `${toTime(time).slice(0, 10)}.jsonl`;
export const HEAD_FILE = 'head.json';
export const PUBLIC_KEY_FILE = 'trail.pub';

const toTime = (time: number) => new Date(time).toISOString();
