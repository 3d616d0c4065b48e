import { randomUUID } from 'node:crypto';
import { link, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { withPath } from './file-error.ts';

/**
 * Writes a file so that a reader, also after a power cut, finds either the old content or the new one.
 *
 * @param options.mode permission bits; 0o600 keeps a key to its owner
 * @param options.signal once it has fired, the old content stays
 */
export async function writeAtomically(
  path: string,
  content: string,
  { mode = 0o644, signal }: { mode?: number; signal?: AbortSignal } = {},
): Promise<void> {
  signal?.throwIfAborted();
  const fresh = await writeBeside(path, content, mode);
  try {
    signal?.throwIfAborted();
    await rename(fresh, path);
  } catch (error) {
    await rm(fresh, { force: true });
    throw error;
  }
}

/**
 * Like `writeAtomically`, but the first writer wins, and a power cut does not take the file away again: a key
 * may be in use by then. Others read it by `readCreated`.
 *
 * @returns whether this call made the file
 */
export async function createAtomically(path: string, content: string, mode = 0o644): Promise<boolean> {
  const fresh = await writeBeside(path, content, mode);
  try {
    const made = await nameFirst(fresh, path);
    if (made) await syncFolder(dirname(path));
    return made;
  } finally {
    await rm(fresh, { force: true });
  }
}

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code ?? '';

async function nameFirst(fresh: string, path: string): Promise<boolean> {
  try {
    await link(fresh, path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    return nameWithoutLinks(fresh, path); // whatever else was wrong stands in its way, too
  }
}

/**
 * For a file system without hard links, as SMB, FAT and some of FUSE: makes an empty file, which only one
 * can, and puts the whole one in its place.
 */
async function nameWithoutLinks(fresh: string, path: string): Promise<boolean> {
  try {
    await (await open(path, 'wx')).close();
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
  try {
    await rename(fresh, path);
    return true;
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

/** What a file system says that cannot sync a folder, or does not let this user. */
const cannotSync = ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EBADF', 'EISDIR', 'EACCES', 'EPERM'];

/** Has what was made, renamed and removed in a folder outlive a power cut, where its file system can. */
export async function syncFolder(path: string): Promise<void> {
  try {
    await using handle = await open(path, 'r');
    await handle.sync();
  } catch (error) {
    if (!cannotSync.includes(codeOf(error))) throw error;
  }
}

/** Reads the file's text; `undefined` where there is no such file. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Milliseconds that a file may be empty before it is taken for one that stays so. */
const LONGEST_EMPTY = 500;
const EMPTY_PAUSE = 20;

/**
 * Like `readIfThere`, of a file that `createAtomically` makes: in a file system without hard links it is
 * empty for a moment.
 */
export async function readCreated(path: string): Promise<string | undefined> {
  for (let waited = 0; ; waited += EMPTY_PAUSE) {
    const text = await readIfThere(path);
    if (text !== '' || waited >= LONGEST_EMPTY) return text;
    await delay(EMPTY_PAUSE);
  }
}

/** Removes the files that killed writers left in a folder. Call it while nothing writes there. */
export async function removeUnfinished(folder: string): Promise<void> {
  const left = (await readdir(folder)).filter(name => /^\.[0-9a-f-]{36}\.tmp$/.test(name));
  await Promise.all(left.map(name => rm(join(folder, name), { force: true })));
}

/** A reader of the line looks for the file that was meant. */
const withoutName = ({ message }: Error, name: string) => message.replace(` '${name}'`, '');

async function writeBeside(path: string, content: string, mode: number): Promise<string> {
  const fresh = join(dirname(path), `.${randomUUID()}.tmp`);
  const file = await open(fresh, 'wx', mode).catch(error => {
    throw withPath(Object.assign(error, { path: undefined, message: withoutName(error, fresh) }), path);
  });
  try {
    await file.writeFile(content);
    await file.sync();
    return fresh;
  } catch (error) {
    await rm(fresh, { force: true });
    throw withPath(error, path);
  } finally {
    await file.close();
  }
}
