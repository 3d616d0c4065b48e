import type { Directory } from '../../shared/acme/directory.ts';
import type { AccountChoice } from '../../shared/admission/account-choice.ts';
import { IssuanceError } from '../../shared/base/errors.ts';
import type { Ca } from '../../shared/ca/open-ca.ts';
import { BREAKER_RETRY, LeftError, noteUnreachable, toLeft } from '../../shared/order/leave-account.ts';
import type { SignRun } from './job.ts';

/**
 * The certificate profile that is ordered from one of several CAs: a plain profile is not sent to CAs that do
 * not offer it, once no CA that offers it has issued.
 *
 * @param timeout milliseconds that the CA has for its directory
 * @throws LeftError where the next account is to be tried
 */
export async function findOfferedProfile(
  run: SignRun,
  ca: Ca,
  { certificateProfile: profile = '', profileIfOffered }: AccountChoice,
  timeout: number,
): Promise<string | undefined> {
  const { profiles } = await readDirectoryAt(run, ca, timeout);
  if (profiles?.includes(profile)) return profile;
  if (profileIfOffered && run.progress.withoutProfile) return undefined;
  const detail = `the CA of account ${ca.name} does not offer the certificate profile ${profile}`;
  const withoutProfile = profileIfOffered && { withoutProfile: true as const };
  throw new LeftError({ account: ca.name, code: 'misconfigured', detail, ...withoutProfile });
}

async function readDirectoryAt(run: SignRun, ca: Ca, timeout: number): Promise<Directory> {
  try {
    return await ca.directory(run.signals.abort, timeout);
  } catch (error) {
    if (!(error instanceof IssuanceError)) throw error;
    await noteUnreachable(ca, error, run.log);
    throw toLeft(ca.name, error, run.parts.clock.now() + BREAKER_RETRY);
  }
}
