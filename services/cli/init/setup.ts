import { dirname, join } from 'node:path';
import type { Environment } from '../../../shared/config/environment.ts';
import type { Io } from '../command.ts';
import type { Given } from './ask.ts';
import { needCompose } from './compose.ts';
import type { Place } from './main-ini.ts';
import { choosePlace, findCall, findOwnProgram } from './place.ts';
import { hasUnit, needSystemd, type Parts, systemdPaths } from './systemd.ts';
import { needFolder } from './write-config.ts';

/** What is known before anybody is asked: where main.ini goes, and who runs this. */
export type Setup = {
  given: Given;
  place: Place;
  parts: Parts;
  folder: string;
  quarry: string;
  io: Io;
  /** As the roles will have it. */
  env: Environment;
};

/** What can be known, and what stands in the way, before anybody is asked. */
export async function findSetup(given: Given, named: string | undefined, io: Io): Promise<Setup> {
  const [systemd, compose] = [given.systemd !== undefined, given.compose !== undefined];
  const [program, folder, isRoot] = [findOwnProgram(process.argv), process.cwd(), process.getuid?.() === 0];
  const [paths, path] = [systemdPaths, io.env.PATH ?? ''];
  const say = (line: string) => void io.write(`  ${line}\n`);
  const parts: Parts = { paths, program, path, isRoot, say };
  const machine = { launcher: program.launcher, etc: paths.etc, folder, isRoot, hasUnit: hasUnit(paths) };
  const place = choosePlace(named, { systemd, compose }, machine);
  if (systemd) needSystemd(parts);
  if (compose) needCompose(folder);
  await needFolder(dirname(place.file), place.kind === 'system');
  const env = toRolesEnv(place, io.env, paths.etc);
  return { given, place, parts, folder, io, env, quarry: findCall(program, io.env, folder) };
}

function toRolesEnv({ kind, file }: Place, env: Environment, etc: string): Environment {
  if (kind === 'system') return { CREDENTIALS_DIRECTORY: join(etc, 'credentials'), ...env };
  return kind === 'compose' ? { ...env, QUARRY_CA_FILE: join(dirname(file), 'ca.pem') } : env;
}
