import { dirname, isAbsolute, join } from 'node:path';
import { IssuanceError } from '../base/errors.ts';
import { whyNotRunnable } from '../base/run-program.ts';
import { openProgramSolver, type ProgramFile } from '../solver/program.ts';
import type { Solver } from '../solver/solver.ts';
import type { ShamanDomain } from './profile.ts';
import type { ShamanRun } from './run.ts';

/** concorde waits for its authenticators without end, and some of them wait for the DNS. */
const TIMEOUT = 10 * 60_000;

type Parts = Pick<ShamanRun, 'file' | 'path' | 'profile' | 'solvers' | 'log'>;

/**
 * What proves a domain's names, in the order of preference: its own authenticators, then those of the configuration for
 * other challenges, and where there are none at all, what the run was given.
 *
 * @throws IssuanceError `misconfigured` when a program cannot be run
 */
export function openSolversFor(
  parts: Parts,
  { authenticators: own }: Readonly<ShamanDomain>,
): readonly Solver[] {
  const { profile, file, log, solvers = [] } = parts;
  const all = [...own, ...[...profile.authenticators].filter(([challenge]) => !own.has(challenge))];
  if (all.length === 0) return solvers;
  return all.map(([challenge, { present, cleanup }]) =>
    openProgramSolver(
      {
        ...{ name: challenge, challenge, folder: dirname(file.path), timeout: TIMEOUT },
        command: toProgramFile(parts, present),
        ...(cleanup !== undefined && { cleanup: toProgramFile(parts, cleanup) }),
      },
      { log },
    ),
  );
}

function toProgramFile(parts: Parts, program: string): ProgramFile {
  return { path: findProgram(parts, program), place: { file: parts.file.path } };
}

/**
 * A program as `shaman.json` names it: in its directory, else, where the name is a mere word, on PATH.
 *
 * @throws IssuanceError `misconfigured` when there is none that can be run
 */
export function findProgram({ file, path }: Pick<ShamanRun, 'file' | 'path'>, program: string): string {
  const folders = [dirname(file.path), ...(program.includes('/') ? [] : path)];
  const places = isAbsolute(program) ? [program] : folders.map(folder => join(folder, program));
  const found = places.find(place => whyNotRunnable(place) === undefined);
  if (found !== undefined) return found;
  const [first = program] = places;
  const elsewhere = places.length > 1 ? ', and there is none on PATH' : '';
  throw new IssuanceError('misconfigured', `${first} cannot be run: ${whyNotRunnable(first)}${elsewhere}`);
}
