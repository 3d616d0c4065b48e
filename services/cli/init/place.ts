import { realpathSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Environment } from '../../../shared/config/environment.ts';
import { UsageError } from '../command.ts';
import { findProgram } from '../find-program.ts';
import type { Place } from './main-ini.ts';
import type { Program } from './systemd.ts';

/** Where Debian's package puts the program. */
const PACKAGE = '/usr/lib/quarry/';
const DATA = '/var/lib/quarry';

export const isFromDebian = ({ launcher }: Pick<Program, 'launcher'>) => launcher.startsWith(PACKAGE);

/** What runs now. */
export const findOwnProgram = (argv: readonly string[]): Program => ({
  node: process.execPath,
  launcher: realpathSync(argv[1] ?? ''),
});

/**
 * Where main.ini is to be, and what its roles will see.
 *
 * @param named a file that was given
 * @param folder where the command was started
 * @throws UsageError
 */
export function choosePlace(
  named: string | undefined,
  { systemd, compose }: { systemd: boolean; compose: boolean },
  machine: { launcher: string; etc: string; folder: string; isRoot: boolean; hasUnit: boolean },
): Place {
  const { launcher, etc, folder, isRoot, hasUnit } = machine;
  if (systemd && compose) throw new UsageError('--systemd and --compose are two ways: give one of them');
  const service = join(etc, 'main.ini');
  const isService = systemd || (!compose && isRoot && isFromDebian({ launcher }));
  const file = resolve(folder, named ?? (isService ? service : 'main.ini'));
  if (!file.endsWith('.ini')) throw new UsageError(`${named} has to end in .ini`);
  if (systemd && file !== service) throw new UsageError(`the units read ${service}: give no other file`);
  if (compose) return { kind: 'compose', file, data: DATA };
  if (file === service && (isService || hasUnit)) return { kind: 'system', file, data: DATA };
  const isSystems = file.startsWith('/etc/');
  return { kind: 'here', file, data: isSystems ? DATA : join(dirname(file), 'quarry-data') };
}

/** How `quarry` is called where this command was. */
export function findCall({ launcher }: Pick<Program, 'launcher'>, env: Environment, folder: string): string {
  if (isFromDebian({ launcher })) return 'quarry';
  const isOwn = folder === resolve(dirname(launcher), '../..');
  if (isOwn) return 'npx quarry';
  const onPath = env.npm_command === undefined ? findProgram('quarry', env.PATH ?? '') : undefined;
  const isHere = onPath !== undefined && dirname(realpathSync(onPath)) === dirname(launcher);
  return isHere ? 'quarry' : join(dirname(launcher), 'quarry');
}
