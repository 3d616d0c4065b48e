import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Store } from '../base/redis.ts';
import { eventId, isBefore, type TrailEntry } from './event.ts';
import { listFiles } from './file-acts.ts';
import { fileOf } from './line.ts';
import { trailKey } from './trail.ts';

// A fail-over may lose the end of the stream, though it is sealed. The new master's entries follow what it
// has left, and where its clock is behind they come before what is sealed last.

/**
 * @param sealed the last entry that is sealed, which stays in the stream
 * @param entries those that are handed over, of which the first is not after it; in their order
 * @returns which of them are in no file; `undefined` where the stream is whole: all after `sealed` is new
 */
export async function findUnsealed(
  { directory, store }: { directory: string; store: Store },
  sealed: string,
  entries: readonly TrailEntry[],
): Promise<TrailEntry[] | undefined> {
  const [first] = entries;
  const { redis, prefix } = store;
  const isWhole = (await redis.xrange(trailKey(prefix), sealed, sealed)).length > 0;
  if (!first || isWhole) return undefined;
  const known = await readIdsFrom(directory, first.id);
  return entries.filter(entry => !known.has(eventId(entry)));
}

/** The ids of the events in the files from that entry on. */
async function readIdsFrom(directory: string, first: string): Promise<Set<string>> {
  const ids = new Set<string>();
  const earliest = fileOf(Number(first.split('-')[0]));
  for (const file of (await listFiles(directory)).filter(name => name >= earliest)) {
    for await (const line of createInterface({ input: createReadStream(join(directory, file)) })) {
      const id = /^\{"n":\d+,"prev":"[^"]*","id":"([\d.-]+)"/.exec(line)?.[1];
      if (id !== undefined && !isBefore(id, first)) ids.add(id);
    }
  }
  return ids;
}
