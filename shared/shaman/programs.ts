import { createHash } from 'node:crypto';
import { dirname, isAbsolute, join } from 'node:path';
import { readIfThere } from '../base/atomic-file.ts';
import type { Log } from '../base/basics.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import { runProgram, whyNotRunnable } from '../base/run-program.ts';
import { openProgramSolver, type ProgramFile } from '../solver/program.ts';
import type { Solver } from '../solver/solver.ts';
import { certificatePath, type DomainEntry, inDirectory, keyFileOf, type ShamanFile } from './file.ts';
import type { ShamanDomain, ShamanProfile } from './profile.ts';

/** concorde waits for its programs without end, and some of them wait for the DNS. */
const TIMEOUT = 10 * 60_000;

/** Where programs are looked for; `path`: the folders of PATH. */
type ProgramPlaces = { file: Pick<ShamanFile, 'path'>; path: readonly string[] };

/**
 * What proves a domain's names, in the order of preference: its own authenticators, then those of the whole
 * file for other challenges, and where there are none at all, what the run was given.
 *
 * @throws IssuanceError `misconfigured` when a program cannot be run
 */
export function openSolversFor(
  { authenticators: own }: Pick<ShamanDomain, 'authenticators'>,
  { authenticators: general }: Pick<ShamanProfile, 'authenticators'>,
  given: readonly Solver[],
  places: ProgramPlaces,
  log: Log,
): readonly Solver[] {
  const all = [...own, ...[...general].filter(([challenge]) => !own.has(challenge))];
  if (all.length === 0) return given;
  return all.map(([challenge, { present, cleanup }]) =>
    openProgramSolver(
      {
        name: challenge,
        challenge,
        folder: dirname(places.file.path),
        timeout: TIMEOUT,
        command: toProgramFile(places, present),
        ...(cleanup !== undefined && { cleanup: toProgramFile(places, cleanup) }),
      },
      { log },
    ),
  );
}

function toProgramFile(places: ProgramPlaces, program: string): ProgramFile {
  return { path: findProgram(places, program), place: { file: places.file.path } };
}

/**
 * A program as `shaman.json` names it: in its directory, else, where the name is a mere word, on PATH.
 *
 * @throws IssuanceError `misconfigured` when there is none that can be run
 */
export function findProgram({ file, path }: ProgramPlaces, program: string): string {
  const folders = [dirname(file.path), ...(program.includes('/') ? [] : path)];
  const places = isAbsolute(program) ? [program] : folders.map(folder => join(folder, program));
  const found = places.find(place => whyNotRunnable(place) === undefined);
  if (found !== undefined) return found;
  const [first = program] = places;
  const elsewhere = places.length > 1 ? ', and there is none on PATH' : '';
  throw new IssuanceError('misconfigured', `${first} cannot be run: ${whyNotRunnable(first)}${elsewhere}`);
}

/**
 * Runs a domain's `deploy` where it has not succeeded yet for the certificate that is on disk. Its
 * environment says `QUARRY_DOMAIN`, `QUARRY_NAMES` (with blanks between them), `QUARRY_CERTIFICATE` and
 * `QUARRY_KEY` (absolute paths).
 *
 * @throws Error with one line; another run tries again
 */
export async function deploy(
  entry: DomainEntry,
  path: ProgramPlaces['path'],
  signal: AbortSignal,
): Promise<void> {
  const { file, domain } = entry;
  const { name, deploy: program, key = keyFileOf(name) } = domain;
  const digest = await findUndeployed(file, domain);
  if (program === undefined || digest === undefined) return;
  const environment = {
    QUARRY_DOMAIN: name,
    QUARRY_NAMES: entry.names.join(' '),
    QUARRY_CERTIFICATE: certificatePath(file, name),
    QUARRY_KEY: inDirectory(file, key),
  };
  try {
    const found = findProgram({ file, path }, program);
    const folder = dirname(file.path);
    await runProgram({ path: found, stdin: '', environment, folder, timeout: TIMEOUT }, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw new Error(`deploy: ${describeError(error)}`);
  }
  entry.say('info', 'deployed');
  await entry.change({ memory: { deployed: digest } });
}

/** What names the certificate that `deploy` has still to be run for, if there is one. */
export async function findUndeployed(
  file: Pick<ShamanFile, 'path'>,
  { name, deploy: program, memory }: Readonly<ShamanDomain>,
): Promise<string | undefined> {
  if (program === undefined) return undefined;
  const chain = await readIfThere(certificatePath(file, name));
  const digest = chain === undefined ? undefined : createHash('sha256').update(chain).digest('hex');
  return digest === memory.deployed ? undefined : digest;
}
