import { randomUUID } from 'node:crypto';
import { link, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/**
 * Writes a file so that a reader, also after a power cut, finds either the old content or the new one.
 *
 * @param mode permission bits; 0o600 keeps a key to its owner
 */
export async function writeAtomically(path: string, content: string, mode = 0o644): Promise<void> {
  const fresh = await writeBeside(path, content, mode);
  await rename(fresh, path);
}

/**
 * Like `writeAtomically`, but the first writer wins.
 *
 * @returns whether this call made the file
 */
export async function createAtomically(path: string, content: string, mode = 0o644): Promise<boolean> {
  const fresh = await writeBeside(path, content, mode);
  try {
    await link(fresh, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(fresh);
  }
}

/** Reads the file's text; `undefined` where there is no such file. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Removes the files that killed writers left in a folder. Call it while nothing writes there. */
export async function removeUnfinished(folder: string): Promise<void> {
  const left = (await readdir(folder)).filter(name => /^\.[0-9a-f-]{36}\.tmp$/.test(name));
  await Promise.all(left.map(name => rm(join(folder, name), { force: true })));
}

async function writeBeside(path: string, content: string, mode: number): Promise<string> {
  const fresh = join(dirname(path), `.${randomUUID()}.tmp`);
  const file = await open(fresh, 'wx', mode);
  try {
    await file.writeFile(content);
    await file.sync();
    return fresh;
  } catch (error) {
    await rm(fresh, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}
