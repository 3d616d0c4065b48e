import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createAtomically, readIfThere } from '../base/atomic-file.ts';
import type { Log } from '../base/basics.ts';
import { describeError } from '../base/errors.ts';
import { type FileGate, LONGEST_READ, LONGEST_WRITE } from '../base/file-threads.ts';
import { isFileFault, type StorageAct, type StorageFaults } from '../base/storage-faults.ts';
import { type EntryRecord, fingerprintOf, formatRecord, parseRecord } from './entry-record.ts';
import type { KeptEntry, Upkeep } from './storage.ts';
import { isChainOf, readWholeEntry } from './stored-entry.ts';

/** A file storage has 256 folders of entries, each of which is one part of its keys. */
const PARTS = 256;
const REMOVED = '.removed';
/** What Quarry knows of the certificate beside it. */
export const RECORD_FILE = 'quarry.json';

/** @param entry the folder of an entry, by its digest */
export function openFileUpkeep(
  {
    name,
    directory,
    entry,
    located,
  }: {
    name: string;
    directory: string;
    entry: (digest: string) => string;
    /** Says where an error was met. */
    located: (error: unknown) => Error;
  },
  { log, gate, faults }: { log: Log; gate: FileGate; faults: StorageFaults },
): Upkeep {
  /** Each is one act at the gate: what an act consists of does not wait there again. */
  async function inTime<T>(what: StorageAct, place: string, act: () => Promise<T>): Promise<T> {
    const limit = what === 'read' ? LONGEST_READ : LONGEST_WRITE;
    try {
      const done = await gate.inTime(act, { limit, isPatient: true });
      faults.worked(name, what, place);
      return done;
    } catch (error) {
      throw isFileFault(error) ? faults.failed(name, what, place, located(error)) : error;
    }
  }

  async function readFolder(folder: string): Promise<KeptEntry | undefined> {
    const record = await readRecordFile(folder);
    const csr = await readIfThere(join(folder, 'csr.pem'));
    const chain = await readIfThere(join(folder, 'cert.pem'));
    return csr === undefined || chain === undefined ? undefined : readWholeEntry({ csr, chain, record });
  }

  async function read(key: string): Promise<KeptEntry | undefined> {
    try {
      return await readFolder(entry(key));
    } catch (error) {
      if (isFileFault(error)) throw error;
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

  async function removeOf(key: string, certificate: string): Promise<KeptEntry | undefined> {
    const chain = await readIfThere(join(entry(key), 'cert.pem'));
    if (chain === undefined || !isChainOf(certificate, chain)) return undefined;
    const kept = await read(key);
    await removeIf(key, found => isChainOf(certificate, found.chain));
    return kept && isChainOf(certificate, kept.chain) ? kept : undefined;
  }

  return {
    keyOf: csr => csr.digest,
    read: key => inTime('read', key, () => read(key)),
    async keys(cursor) {
      const part = cursor === '' ? 0 : Number.parseInt(cursor, 16);
      const folder = part.toString(16).padStart(2, '0');
      const names = await inTime('read', folder, () => listFolder(directory, folder));
      const next = part + 1 < PARTS ? (part + 1).toString(16) : undefined;
      return { keys: names.filter(one => /^[0-9a-f]{94}$/.test(one)).map(one => folder + one), cursor: next };
    },
    async expire(key, before) {
      const act = () => removeIf(key, ({ leaf }) => leaf.notAfter < before);
      return (await inTime('write', key, act))?.leaf.notAfter;
    },
    setRenewFrom: (key, chain, at) => inTime('write', key, () => changeRecord(entry(key), chain, at)),
    remove: (key, certificate) => inTime('write', key, () => removeOf(key, certificate)),
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

/** A file that is called like a folder of entries holds none; one in place of all folders is a fault. */
async function listFolder(directory: string, folder: string): Promise<string[]> {
  try {
    return await readdir(join(directory, folder));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || (code === 'ENOTDIR' && (await stat(directory)).isDirectory())) return [];
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
