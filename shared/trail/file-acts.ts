import { hash } from 'node:crypto';
import { open, readdir, rename, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { readIfThere, syncFolder, writeAtomically } from '../base/atomic-file.ts';
import { withPath } from '../base/file-error.ts';
import {
  type ChainEnd,
  HEAD_FILE,
  type Head,
  headText,
  isHead,
  isTrailFile,
  PUBLIC_KEY_FILE,
} from './line.ts';
import type { Write } from './plan-lines.ts';
import type { PublicKey } from './signing-key.ts';

// What the sealer does to files. All of it is on the disk when it returns.

export async function listFiles(directory: string): Promise<string[]> {
  return (await readdir(directory)).filter(isTrailFile).sort();
}

/** A head that is signed with this key, if one is given; `undefined` for anything else. */
export function parseHead(text: string | null | undefined, key: PublicKey | undefined): Head | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '');
    if (!isHead(value)) return undefined;
    return key && !key.isSignature(headText(value), value.signature) ? undefined : value;
  } catch {
    return undefined;
  }
}

export const readHeadFile = async (directory: string, key: PublicKey): Promise<Head | undefined> =>
  parseHead(await readIfThere(join(directory, HEAD_FILE)), key);

/** Others verify with it. One that is there already stays, so that an exchange of keys shows. */
export async function writePublicKey(directory: string, { pem }: PublicKey): Promise<void> {
  const file = join(directory, PUBLIC_KEY_FILE);
  if ((await readIfThere(file)) === undefined) await writeAtomically(file, pem);
}

/**
 * Appends, and then moves the head that says so.
 *
 * @param from the size of the first file before it
 * @throws Error as the system says it; as far as the disk allows, all is as it was then
 */
export async function appendWithHead(
  directory: string,
  writes: readonly Write[],
  from: number,
  head: Head,
): Promise<void> {
  try {
    for (const { file, text } of writes) await append(join(directory, file), text);
    await syncFolder(directory);
    await writeAtomically(join(directory, HEAD_FILE), `${JSON.stringify(head)}\n`, { mode: 0o640 });
    await syncFolder(directory);
  } catch (error) {
    const undo = ({ file }: Write, at: number) => truncate(join(directory, file), at === 0 ? from : 0);
    await Promise.allSettled(writes.map(undo));
    throw error;
  }
}

async function append(path: string, text: string): Promise<void> {
  const handle = await open(path, 'a', 0o640);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } catch (error) {
    throw withPath(error, path);
  } finally {
    await handle.close();
  }
}

/** What lay behind the end of the trail: `bytes` of it; `missing` where the file was shorter than it was. */
type Cut = { bytes: number; kept: string[]; missing: boolean };

/**
 * Moves what lies behind the sealed end out of the way, into files named `cut-…`: a crash left it there, and
 * its events are still in the stream.
 */
export async function cutAfter(directory: string, file: string, size: number, n: number): Promise<Cut> {
  const cut: Cut = { bytes: 0, kept: [], missing: false };
  const keptAs = (name: string) => `cut-${n}-${name}`;
  for (const later of (await listFiles(directory)).filter(name => name > file)) {
    cut.bytes += (await stat(join(directory, later))).size;
    cut.kept.push(keptAs(later));
    await rename(join(directory, later), join(directory, keptAs(later)));
  }
  const found = file === '' ? 0 : ((await statIfThere(join(directory, file)))?.size ?? 0);
  if (found > size) {
    await keepEnd(join(directory, file), size, join(directory, keptAs(file)));
    cut.bytes += found - size;
    cut.kept.push(keptAs(file));
  }
  if (cut.bytes > 0) await syncFolder(directory);
  return { ...cut, missing: found < size };
}

async function keepEnd(path: string, size: number, keptAs: string): Promise<void> {
  const handle = await open(path, 'r+');
  try {
    const { size: whole } = await handle.stat();
    const end = Buffer.alloc(whole - size);
    await handle.read(end, 0, end.length, size);
    // A full disk must not end it all.
    await writeAtomically(keptAs, end.toString(), { mode: 0o640 }).catch(() => {});
    await handle.truncate(size);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export async function sizeOf(directory: string, file: string): Promise<number> {
  return (await statIfThere(join(directory, file)))?.size ?? 0;
}

const statIfThere = (path: string) =>
  stat(path).catch(error => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });

const MOST_READ = 1024 * 1024;

/** The last whole line of the last file, as far as it can be read. */
export async function readLastLine(
  directory: string,
): Promise<{ end: ChainEnd; file: string; size: number } | undefined> {
  const file = (await listFiles(directory)).at(-1);
  if (file === undefined) return undefined;
  const size = await sizeOf(directory, file);
  const text = await readPart(join(directory, file), Math.max(0, size - MOST_READ), MOST_READ);
  const whole = text.subarray(0, text.lastIndexOf(10));
  const line = whole.subarray(whole.lastIndexOf(10) + 1).toString();
  const unread = text.length - whole.length - 1;
  const end = { n: numberOf(line) ?? 0, hash: hash('sha256', line) };
  return { end, file, size: Math.max(0, size - unread) };
}

/** The number of a file's first line. */
export async function readFirstNumber(directory: string, file: string): Promise<number | undefined> {
  return numberOf((await readPart(join(directory, file), 0, 64)).toString());
}

function numberOf(line: string): number | undefined {
  const [, n] = /^\{"n":(\d{1,15}),/.exec(line) ?? [];
  return n === undefined ? undefined : Number(n);
}

async function readPart(path: string, from: number, length: number): Promise<Buffer> {
  const handle = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, from);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

export const removeFile = (directory: string, file: string) => rm(join(directory, file), { force: true });
