import {
  access,
  chown,
  constants,
  mkdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createAtomically, readIfThere, writeAtomically } from '../../../shared/base/atomic-file.ts';
import { describeFileError } from '../../../shared/base/errors.ts';
import type { Environment } from '../../../shared/config/environment.ts';
import { findPlace } from '../../../shared/config/redis-access.ts';
import { loadConfig } from '../../../shared/setup/load-config.ts';
import { findWarnings } from '../check.ts';
import { findProgram } from '../find-program.ts';

/** Whose the file is to be. */
export type Owner = { uid: number; gid: number };

/**
 * Reads the text as the roles would, before anybody else can: nothing is written that `quarry check` refuses.
 *
 * @param runsHere whether the roles will run on this machine as it is
 * @returns what `quarry check` warns of, and what `quarry up` would lack
 * @throws ConfigError
 */
export async function tryConfig(
  file: string,
  text: string,
  env: Environment,
  runsHere: boolean,
): Promise<string[]> {
  const trial = join(dirname(file), `.quarry-init-${process.pid}.ini`);
  const asWritten = (line: string) => line.replaceAll(trial, file);
  try {
    await writeFile(trial, text, { mode: 0o600, flag: 'wx' });
    const config = await loadConfig([trial], env);
    const lacking = runsHere && !findPlace(config.redis) && !hasServer(env.PATH ?? '');
    const others = [
      findFolderFault(dirname(file), await stat(dirname(file))),
      lacking ? NO_REDIS : undefined,
    ];
    return [...(await findWarnings(config)).map(asWritten), ...others.filter(one => one !== undefined)];
  } catch (error) {
    if (error instanceof Error) error.message = asWritten(error.message);
    throw error;
  } finally {
    await rm(trial, { force: true });
  }
}

/** Who may write to a folder puts another main.ini into it, which names the programs that roles start. */
function findFolderFault(folder: string, { uid, mode }: { uid: number; mode: number }): string | undefined {
  if (uid !== 0 && uid !== process.getuid?.())
    return `the user ${uid} has ${folder}, and can put another main.ini there: choose a folder of your own`;
  const isOpen = (mode & 0o002) !== 0 && (mode & 0o1000) === 0;
  return isOpen ? `everybody can put another main.ini into ${folder}: chmod o-w ${folder}` : undefined;
}

const NO_REDIS =
  'quarry up starts a Redis of its own, and there is no redis-server: apt install redis-server';

function hasServer(path: string): boolean {
  return ['redis-server', 'valkey-server'].some(name => findProgram(name, path) !== undefined);
}

/**
 * Writes main.ini: whole, and for its owner alone.
 *
 * @param owner by default whose it was, or whose this process is
 * @param before what was there; a copy of it is kept
 * @returns where the copy is
 * @throws Error in one line where somebody else has made the file meanwhile
 */
export async function putConfig(
  file: string,
  text: string,
  { owner, before, now }: { owner: Owner | undefined; before: string | undefined; now: Date },
): Promise<string | undefined> {
  const whose = owner ?? (before === undefined ? undefined : await stat(file));
  const give = async (path: string) => whose && (await chown(path, whose.uid, whose.gid));
  if (before === undefined) {
    if (!(await createAtomically(file, text, 0o600)))
      throw new Error(`${file} has just been made by somebody else`);
    await give(file);
    return undefined;
  }
  const real = await realpath(file); // a link stays one
  const copy = toCopyName(real, now);
  await writeAtomically(copy, before, { mode: 0o600 });
  const fresh = `${copy}.new`;
  await writeAtomically(fresh, text, { mode: 0o600 });
  await Promise.all([give(copy), give(fresh)]);
  await rename(fresh, real);
  return copy;
}

const toCopyName = (file: string, now: Date) => `${file}.${now.toISOString().replace(/[-:]|\.\d+/g, '')}`;

/**
 * Copies the certificate of a CA to where the roles can read it.
 *
 * @returns where an earlier one is kept that was not the same
 */
export async function copyCaFile(from: string, to: string, now: Date): Promise<string | undefined> {
  const [text, before] = [await readFile(from, 'utf8'), await readIfThere(to)];
  if (before === text) return undefined;
  const kept = before === undefined ? undefined : toCopyName(to, now);
  if (kept !== undefined) await rename(to, kept);
  await writeAtomically(to, text);
  return kept;
}

/**
 * Makes sure that there is a folder to write to.
 *
 * @param mayMake whether it is one of a service, which need not be there yet
 * @throws Error in one line that says what to do
 */
export async function needFolder(folder: string, mayMake: boolean): Promise<void> {
  try {
    if (mayMake) await mkdir(folder, { recursive: true, mode: 0o755 });
    const isFolder = (await stat(folder)).isDirectory();
    await access(folder, constants.W_OK);
    if (isFolder) return;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new Error(`there is no folder ${folder}: mkdir -p ${folder}`);
    if (code === 'EACCES') throw new Error(`${folder} is closed to you: run this as root, by sudo`);
    throw new Error(`${folder} cannot be used: ${describeFileError(error)}`);
  }
  throw new Error(`${folder} is no folder`);
}
