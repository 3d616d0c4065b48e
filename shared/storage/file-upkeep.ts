import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { atMost } from '../base/at-most.ts';
import { createAtomically, readIfThere } from '../base/atomic-file.ts';
import { describeError, type Log } from '../base/basics.ts';
import { type EntryRecord, fingerprintOf, formatRecord, parseRecord } from './entry-record.ts';
import type { KeptEntry, Upkeep } from './storage.ts';
import { isChainOf, readWholeEntry } from './stored-entry.ts';

/** A file storage has 256 folders of entries, each of which is one part of its keys. */
const PARTS = 256;
const REMOVED = '.removed';
/** Entries that are read at once: each takes one of the four threads that all of the process shares. */
const MOST_READ = 3;
/** What Quarry knows of the certificate beside it. */
export const RECORD_FILE = 'quarry.json';

/** @param entry the folder of an entry, by its digest */
export function openFileUpkeep(
  { name, directory, entry }: { name: string; directory: string; entry: (digest: string) => string },
  log: Log,
): Upkeep {
  const inTurn = atMost(MOST_READ);

  async function readFolder(folder: string): Promise<KeptEntry | undefined> {
    const record = await readRecordFile(folder);
    const csr = await readIfThere(join(folder, 'csr.pem'));
    const chain = await readIfThere(join(folder, 'cert.pem'));
    return csr === undefined || chain === undefined ? undefined : readWholeEntry({ csr, chain, record });
  }

  async function read(key: string): Promise<KeptEntry | undefined> {
    try {
      return await inTurn(() => readFolder(entry(key)));
    } catch (error) {
      log.warn(
        { storage: name, folder: entry(key), reason: describeError(error) },
        'stored entry is damaged',
      );
      return undefined;
    }
  }

  /** @returns what stays */
  async function removeIf(key: string, goes: (kept: KeptEntry) => boolean): Promise<KeptEntry | undefined> {
    const kept = await read(key);
    if (!kept || !goes(kept)) return kept;
    // Moved away first: a put meanwhile writes a folder of its own, or the certificate that it wrote is found
    // here.
    const aside = join(directory, REMOVED, key);
    await mkdir(dirname(aside), { recursive: true });
    await rm(aside, { recursive: true, force: true });
    await rename(entry(key), aside);
    const moved = await readFolder(aside).catch(() => undefined);
    if (moved && !goes(moved) && (await moveTo(aside, entry(key)))) return moved;
    await rm(aside, { recursive: true, force: true });
    await rmdir(dirname(entry(key))).catch(() => {}); // others are in it
    return undefined;
  }

  return {
    keyOf: csr => csr.digest,
    read,
    async keys(cursor) {
      const part = cursor === '' ? 0 : Number.parseInt(cursor, 16);
      const folder = part.toString(16).padStart(2, '0');
      const names = await listFolder(join(directory, folder));
      const next = part + 1 < PARTS ? (part + 1).toString(16) : undefined;
      return { keys: names.filter(one => /^[0-9a-f]{94}$/.test(one)).map(one => folder + one), cursor: next };
    },
    expire: async (key, before) => (await removeIf(key, ({ leaf }) => leaf.notAfter < before))?.leaf.notAfter,
    setRenewFrom: (key, chain, at) => changeRecord(entry(key), chain, at),
    async remove(key, certificate) {
      const chain = await readIfThere(join(entry(key), 'cert.pem'));
      if (chain === undefined || !isChainOf(certificate, chain)) return undefined;
      const kept = await read(key);
      await removeIf(key, found => isChainOf(certificate, found.chain));
      return kept && isChainOf(certificate, kept.chain) ? kept : undefined;
    },
  };
}

/**
 * What is in an entry's `quarry.json`, as JSON has it; `undefined` where there is none, or only a damaged
 * one.
 */
export async function readRecordFile(folder: string): Promise<unknown> {
  return parseJson(await readIfThere(join(folder, RECORD_FILE)));
}

function parseJson(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

export const formatRecordFile = (record: EntryRecord) => `${JSON.stringify(formatRecord(record))}\n`;

/**
 * Writes an entry's record anew if the entry still holds this chain. The old record is taken away first: a
 * certificate that is put meanwhile has its record written over nothing, and what stands there then is left
 * alone.
 */
async function changeRecord(folder: string, chain: string, renewFrom: number | undefined): Promise<boolean> {
  const file = join(folder, RECORD_FILE);
  const taken = await takeAway(file, join(folder, `.${randomUUID()}.tmp`));
  let written = false;
  try {
    if ((await readIfThere(join(folder, 'cert.pem'))) !== chain) return false;
    const certificate = fingerprintOf(chain);
    const old = parseRecord(parseJson(taken), certificate);
    const record = formatRecordFile({ certificate, issuedBy: old?.issuedBy, renewFrom });
    written = await createAtomically(file, record);
    return written;
  } finally {
    if (taken !== undefined && !written) await createAtomically(file, taken).catch(() => {});
  }
}

/** @param aside where it is moved first, so that nobody else takes it, too @returns its text */
async function takeAway(file: string, aside: string): Promise<string | undefined> {
  if (!(await moveTo(file, aside))) return undefined;
  try {
    return await readIfThere(aside);
  } finally {
    await rm(aside, { force: true });
  }
}

async function listFolder(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
}

/** @returns false where it cannot be moved: it is gone, or there is another one by now, which is as good */
async function moveTo(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch {
    return false;
  }
}
