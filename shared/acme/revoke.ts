import { IssuanceError } from '../base/errors.ts';
import { decodePem } from '../pki/certificate.ts';
import { type RevocationReason, revocationReasons } from '../pki/revocation.ts';
import { type AcmeAccount, openSigner } from './client.ts';
import type { CaConnection } from './connection.ts';
import { problemKind } from './problem.ts';

/**
 * Revokes a certificate by the account that ordered it, or that has proven all of its names (RFC 8555 section
 * 7.6). One that is revoked already is a success.
 *
 * @param pem the first certificate in it is meant
 * @returns whether it was this call that revoked it
 * @throws IssuanceError `denied` when the CA does not let this account revoke it, `unknown` when it does not
 *   know it
 */
export async function revokeCertificate(
  connection: CaConnection,
  account: AcmeAccount,
  pem: string,
  reason: RevocationReason | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  const certificate = decodePem(pem, ['CERTIFICATE']).toString('base64url');
  const signer = openSigner(connection, account, signal);
  const wanted = { certificate, ...(reason && { reason: revocationReasons[reason] }) };
  try {
    await signer.postTo('revokeCert', () => wanted);
    return true;
  } catch (error) {
    if (!(error instanceof IssuanceError)) throw error;
    if (problemKind(error.problem) === 'alreadyRevoked') return false;
    throw toRefusal(error);
  }
}

/** What the CA's answer means when it is a certificate that it refuses, and not an order. */
function toRefusal(error: IssuanceError): IssuanceError {
  const { message, problem, retryAfter } = error;
  const kind = problemKind(problem);
  const refused = (code: 'denied' | 'unknown') =>
    new IssuanceError(code, message, { cause: error, problem, retryAfter });
  if (kind === 'unauthorized' || kind === 'badRevocationReason') return refused('denied');
  const unknown = error.code === 'gone' && kind !== 'accountDoesNotExist';
  return unknown || kind === 'malformed' ? refused('unknown') : error;
}
