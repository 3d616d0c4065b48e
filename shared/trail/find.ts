import { join } from 'node:path';
import { isNumber, isText, listOf, optional, type Store, shapeOf } from '../base/redis.ts';
import { parseEntry, type TrailEntry } from './event.ts';
import { listFiles } from './file-acts.ts';
import { fileOf, toEventLine } from './line.ts';
import { readLines } from './read-lines.ts';
import { trailKey } from './trail.ts';

/** Which events are asked for. Times are in milliseconds since the epoch. */
export type Wanted = {
  /** Any of its names; `undefined` for all. */
  hasName?: ((name: string) => boolean) | undefined;
  since?: number | undefined;
  until?: number | undefined;
};

/** An event as a line of the files tells it, and as one of Redis is told that no file has yet. */
export type Found = {
  text: string;
  time: string;
  event: string;
  names?: string[];
  rest: [string, string | number][];
};

const DAY = 24 * 3_600_000;

/** The events of the files, in their order, many at a time. Lines that cannot be read are passed over. */
export async function* findInFiles(directory: string, wanted: Wanted): AsyncGenerator<Found[]> {
  // The clocks of who wrote an event and of Redis, which chooses the file, may differ.
  const from = wanted.since === undefined ? '' : fileOf(wanted.since - DAY);
  const to = wanted.until === undefined ? '9' : fileOf(wanted.until + DAY);
  const files = (await listFiles(directory)).filter(file => file >= from && file <= to);
  for (const file of files) {
    for await (const lines of readLines(join(directory, file))) {
      const found = lines.flatMap(({ bytes }) => toFound(bytes.toString()) ?? []);
      yield found.filter(one => isWanted(one, wanted));
    }
  }
}

const PART = 1_000;

/** The same of the events in Redis. @param after the last entry that a file has; '-' where there are none */
export async function* findInRedis(
  { redis, prefix }: Store,
  after: string | undefined,
  wanted: Wanted,
): AsyncGenerator<Found[]> {
  for (let from = after === undefined ? '-' : `(${after}`; ; ) {
    const entries = await redis.xrange(trailKey(prefix), from, '+', 'COUNT', PART);
    const last = entries.at(-1)?.[0];
    if (last === undefined) return;
    yield entries
      .flatMap(([id, fields]) => parseEntry(id, fields))
      .flatMap(one => toFound(textOf(one)) ?? [])
      .filter(one => isWanted(one, wanted));
    from = `(${last}`;
  }
}

/** As a line, which it is not yet: it has no number. */
function textOf(entry: TrailEntry): string {
  const { text } = toEventLine({ n: 0, hash: '' }, entry);
  return text.replace(/^\{"n":1,"prev":"",/, '{');
}

type Line = { time?: string; event: string; names?: string[]; [more: string]: unknown };
const isLine = shapeOf<Pick<Line, 'event' | 'names' | 'time'>>({
  ...{ event: isText, names: optional(listOf(isText)), time: optional(isText) },
});

function toFound(text: string): Found | undefined {
  const value = parse(text);
  if (!isLine(value)) return undefined;
  const { n, prev, id, time = timeOf(id), event, names, ...rest } = value as Line;
  const others = Object.entries(rest).filter((one): one is [string, string | number] => {
    return isText(one[1]) || isNumber(one[1]);
  });
  return { text, time, event, ...(names && { names }), rest: others };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const timeOf = (id: unknown) => new Date(Number.parseInt(String(id), 10) || 0).toISOString();

function isWanted({ time, names = [] }: Found, { hasName, since, until }: Wanted): boolean {
  const at = Date.parse(time);
  if (since !== undefined && !(at >= since)) return false;
  if (until !== undefined && !(at < until)) return false;
  return hasName === undefined || names.some(hasName);
}
