import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { readIfThere } from '../base/atomic-file.ts';
import { describeError } from '../base/errors.ts';
import { runProgram } from '../base/run-program.ts';
import type { ShamanFile } from './file.ts';
import type { ShamanDomain } from './profile.ts';
import { certificatePath, type DomainEntry, inDirectory, keyFileOf, type ShamanRun } from './run.ts';
import { findProgram } from './solvers.ts';

const TIMEOUT = 10 * 60_000;

/**
 * Runs a domain's `deploy` where it has not succeeded yet for the certificate that is on disk. Its environment says
 * `QUARRY_DOMAIN`, `QUARRY_NAMES` (with blanks between them), `QUARRY_CERTIFICATE` and `QUARRY_KEY` (absolute paths).
 *
 * @throws Error with one line; another run tries again
 */
export async function deploy(run: ShamanRun, entry: DomainEntry): Promise<void> {
  const { file, log, signal } = run;
  const { name, identifiers, deploy: program, key = keyFileOf(name) } = entry.domain;
  const digest = await findUndeployed(file, entry.domain);
  if (program === undefined || digest === undefined) return;
  const environment = {
    QUARRY_DOMAIN: name,
    QUARRY_NAMES: identifiers.map(({ value }) => value).join(' '),
    QUARRY_CERTIFICATE: certificatePath(file, name),
    QUARRY_KEY: inDirectory(file, key),
  };
  try {
    const path = findProgram(run, program);
    await runProgram({ path, stdin: '', environment, folder: dirname(file.path), timeout: TIMEOUT }, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw new Error(`deploy: ${describeError(error)}`);
  }
  log.info({ domain: name }, `${name}: deployed`);
  await entry.change({ memory: { deployed: digest } });
}

/** What names the certificate that `deploy` has still to be run for, if there is one. */
export async function findUndeployed(
  file: ShamanFile,
  { name, deploy: program, memory }: Readonly<ShamanDomain>,
): Promise<string | undefined> {
  if (program === undefined) return undefined;
  const chain = await readIfThere(certificatePath(file, name));
  const digest = chain === undefined ? undefined : createHash('sha256').update(chain).digest('hex');
  return digest === memory.deployed ? undefined : digest;
}
