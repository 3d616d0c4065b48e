import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { readIfThere, writeAtomically } from '../../../shared/base/atomic-file.ts';
import type { Clock } from '../../../shared/base/basics.ts';
import { describeError } from '../../../shared/base/errors.ts';
import { findClosed } from './facts.ts';
import type { Owner } from './write-config.ts';

// Quarry as a service: the units, and the user and the folders that they name.

/** What is where on a machine with systemd. */
type SystemdPaths = {
  /** There where systemd runs. */
  running: string;
  /** Of units that packages bring, and of those of the machine itself. */
  packaged: string;
  units: string;
  /** Of main.ini. */
  etc: string;
};

export const systemdPaths: SystemdPaths = {
  running: '/run/systemd/system',
  packaged: '/usr/lib/systemd/system',
  units: '/etc/systemd/system',
  etc: '/etc/quarry',
};

/** What starts Quarry: Node, and the file that it runs. */
export type Program = { node: string; launcher: string };

export type Parts = {
  paths: SystemdPaths;
  program: Program;
  /** Where commands are looked for. */
  path: string;
  isRoot: boolean;
  /** Told before each act. */
  say(line: string): void;
};

const SERVICE_USER = 'quarry';
const unitNames = ['quarry.service', 'quarry@.service'];

/**
 * Looks for what would stand in the way, before anything is asked or written.
 *
 * @throws Error in one line that says what to do
 */
export function needSystemd({ paths, program, isRoot }: Pick<Parts, 'paths' | 'program' | 'isRoot'>): void {
  if (!isRoot) throw new Error('--systemd writes units, which takes root: run it by sudo');
  if (!existsSync(paths.running))
    throw new Error(
      'systemd does not run here, so nothing is written: without --systemd, quarry up runs all roles',
    );
  if (isPackaged(paths)) return;
  for (const file of Object.values(program)) {
    const closed = findClosed(file);
    if (closed !== undefined)
      throw new Error(
        `${file} lies in ${closed}, where the service's user cannot read it: move it, to /opt/quarry for example`,
      );
  }
}

/** Whether Quarry is a service here already. */
export const hasUnit = (paths: SystemdPaths) =>
  isPackaged(paths) || existsSync(join(paths.units, 'quarry.service'));

const isPackaged = ({ packaged }: SystemdPaths) => existsSync(join(packaged, 'quarry.service'));

/** Makes what the service needs besides main.ini. @returns whose main.ini is to be */
export async function prepareService({ paths, program, path, say }: Parts): Promise<Owner> {
  const owner = (await findServiceUser(path)) ?? (await makeUser({ path, say }));
  await mkdir(paths.etc, { recursive: true, mode: 0o755 });
  const credentials = join(paths.etc, 'credentials');
  await mkdir(credentials, { recursive: true });
  await chmod(credentials, 0o700);
  if (isPackaged(paths)) return owner;
  for (const name of unitNames) {
    const shipped = await readFile(join(dirname(program.launcher), '../systemd', name), 'utf8');
    const [file, text] = [join(paths.units, name), toUnit(shipped, program)];
    if ((await readIfThere(file)) === text) continue;
    say(`writes ${file}`);
    await writeAtomically(file, text);
  }
  return owner;
}

/** A unit as the package has it, for a program that is elsewhere. */
const toUnit = (text: string, { node, launcher }: Program): string =>
  text.replace(/^ExecStart=\/usr\/bin\/quarry /m, () => `ExecStart=${quote(node)} ${quote(launcher)} `);

/** As systemd reads words. */
const quote = (word: string) =>
  /^[\w./@+-]+$/.test(word) ? word : `"${word.replace(/["\\]/g, '\\$&').replace(/[%$]/g, '$&$&')}"`;

/** The service's user; undefined where the machine has none. */
export async function findServiceUser(PATH: string): Promise<Owner | undefined> {
  const ask = async (option: string) =>
    Number((await promisify(execFile)('id', [option, SERVICE_USER], { env: { PATH } })).stdout);
  try {
    return { uid: await ask('-u'), gid: await ask('-g') };
  } catch {
    return undefined;
  }
}

async function makeUser(parts: Pick<Parts, 'path' | 'say'>): Promise<Owner> {
  const home = ['--home-dir', '/var/lib/quarry', '--shell', '/usr/sbin/nologin'];
  await run('useradd', ['--system', ...home, SERVICE_USER], parts);
  const owner = await findServiceUser(parts.path);
  if (owner) return owner;
  throw new Error(`there is no user ${SERVICE_USER}, though useradd has made one`);
}

/** How often, once a second, the service is looked at before it is left to itself. */
const MOST_LOOKS = 30;

/**
 * Has the service run with main.ini as it is now, at each boot too, and waits for a while until it is ready.
 *
 * @throws Error in one line where it has ended
 */
export async function startService(
  { clock, ...parts }: Pick<Parts, 'path' | 'say'> & { clock: Pick<Clock, 'sleep'> },
  isUnchanged: boolean,
): Promise<void> {
  await run('systemctl', ['daemon-reload'], parts);
  await run('systemctl', ['enable', 'quarry.service'], parts);
  await run('systemctl', ['--no-block', isUnchanged ? 'start' : 'restart', 'quarry.service'], parts);
  parts.say('waits until it is ready');
  for (let looks = 1; looks <= MOST_LOOKS; looks += 1) {
    await clock.sleep(1_000);
    const state = await readState(parts.path);
    if (state === 'active') return parts.say('it is ready');
    if (state === 'failed') throw new Error('the service has ended: journalctl -u quarry -n 20 says why');
  }
  parts.say('it is not ready yet: systemctl status quarry says why');
}

/** `active` is one that has said that it is ready. */
async function readState(PATH: string): Promise<string> {
  const asked = promisify(execFile)('systemctl', ['is-active', 'quarry.service'], { env: { PATH } });
  // Its exit code says the same, less well.
  const { stdout } = await asked.catch((error: { stdout?: string }) => ({ stdout: error.stdout ?? '' }));
  return stdout.trim();
}

/** @throws Error in one line with the command's last words */
async function run(
  command: string,
  args: string[],
  { path, say }: Pick<Parts, 'path' | 'say'>,
): Promise<void> {
  const line = [command, ...args].join(' ');
  say(`runs ${line}`);
  try {
    await promisify(execFile)(command, args, { env: { ...process.env, PATH: path } });
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string };
    throw new Error(`${line} failed: ${stderr.trim().split('\n').at(-1) || describeError(error)}`);
  }
}
