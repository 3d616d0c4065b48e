import { describeError, IssuanceError } from '../base/errors.ts';

/** Codes of OpenSSL for a certificate that it does not accept. */
const UNTRUSTED = /SELF_SIGNED|^UNABLE_TO_|^CERT_|^ERR_TLS_CERT/;

/** Why a CA cannot be used yet, with what an operator can do about it, in one line. */
export function adviseOnCa(error: unknown): string {
  const said = describeError(error);
  const remedy = findRemedy(error);
  return remedy === undefined ? said : `${said}; ${remedy}`;
}

function findRemedy(error: unknown): string | undefined {
  if (!(error instanceof IssuanceError) || error.code !== 'unavailable') return undefined;
  const { code = '' } = (error.cause ?? {}) as NodeJS.ErrnoException;
  if (UNTRUSTED.test(code))
    return "set ca-file in [account] to the root certificate of the CA's own server, in PEM";
  if (code === 'ENOTFOUND') return 'correct acme-server, or the DNS of this machine';
  if (code !== '')
    return 'see whether acme-server is right, and the way there open (HTTPS_PROXY names a proxy)';
  return /is no ACME directory/.test(error.message)
    ? 'set acme-server to the URL of its directory'
    : undefined;
}
