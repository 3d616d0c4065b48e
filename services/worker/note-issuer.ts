import { describeError } from '../../shared/base/errors.ts';
import type { Ca } from '../../shared/ca/open-ca.ts';
import type { SignRun } from './job.ts';

/** So that revocations are known to be this CA's. */
export async function noteIssuer({ parts, log }: SignRun, ca: Ca, chain: string): Promise<void> {
  try {
    await parts.issuers.note(ca.directoryUrl, chain);
  } catch (error) {
    log.warn({ account: ca.name, reason: describeError(error) }, 'the issuer cannot be noted');
  }
}
