import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { explainFileError } from '../base/file-error.ts';
import { ConfigError } from './config-error.ts';

/**
 * The files that paths stand for: a folder stands for each `*.ini` in it, by name in the order of the bytes,
 * as `LC_ALL=C ls` sorts. Hidden files, and what an editor leaves (`x.ini~`, `x.ini.bak`, `#x.ini#`), are
 * passed over.
 *
 * @throws ConfigError for a folder without any
 */
export async function listFiles(paths: readonly string[]): Promise<string[]> {
  return (await Promise.all(paths.map(listOne))).flat();
}

async function listOne(path: string): Promise<string[]> {
  const names = await namesIn(path);
  if (names === undefined) return [path];
  if (names.length === 0)
    throw new ConfigError(
      { file: path },
      'is a folder without an .ini file in it: name the file itself, or put one there',
    );
  return names.map(name => join(path, name));
}

/** Whether a path stands for files of a configuration: a file, or a folder of them. */
export async function isConfigPath(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isDirectory()) return found?.isFile() ?? false;
  return ((await namesIn(path).catch(() => undefined))?.length ?? 0) > 0;
}

/** `undefined` for what is no folder, or is not there: who reads it says so. */
async function namesIn(path: string): Promise<string[] | undefined> {
  if (!(await stat(path).catch(() => undefined))?.isDirectory()) return undefined;
  const all = await readdir(path).catch(error => {
    throw new ConfigError({ file: path }, `cannot be read: ${explainFileError(error)}`);
  });
  const names = all.filter(name => name.endsWith('.ini') && !/^[.#]/.test(name));
  return names.sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)));
}
