import type { Identifier } from '../base/identifier.ts';
import { encodePem } from '../pki/certificate.ts';
import { type CsrText, type ParsedCsr, parseCsr, readCsr } from '../pki/csr.ts';
import { keyNumber, type PublicJwk } from './jws.ts';
import { AcmeError } from './problem.ts';

// The CSR of a finalize request (RFC 8555 section 7.4).

/**
 * Takes the CSR out of the payload. Some clients pad base64url, which RFC 7515 section 2 does not allow.
 *
 * @throws AcmeError `malformed` where it is no base64url, or IssuanceError `badCsr`
 */
export function readPayloadCsr(payload: Record<string, unknown> | undefined): CsrText {
  const csr = payload?.csr;
  if (typeof csr !== 'string') throw new AcmeError('malformed', 'the payload has no csr');
  if (!/^[\w-]+={0,2}$/.test(csr)) throw new AcmeError('badCSR', 'the csr is not DER in base64url');
  return readCsr(Buffer.from(encodePem('CERTIFICATE REQUEST', Buffer.from(csr, 'base64url'))));
}

/**
 * Reads a CSR that is to be for an order of an account with this key.
 *
 * @throws IssuanceError or AcmeError `badCSR`
 */
export function parseCsrFor(csr: CsrText, identifiers: readonly Identifier[], key: PublicJwk): ParsedCsr {
  const parsed = parseCsr(csr.der);
  const fault = findOtherName(identifiers, parsed.identifiers);
  if (fault) throw new AcmeError('badCSR', fault);
  // To make the key's other form costs as much as all else of the CSR.
  if (csr.der.includes(keyNumber(key)))
    throw new AcmeError('badCSR', 'the CSR is for the key of the account: make another key for it');
  return parsed;
}

/** Why the names of the CSR are not those of the order. */
function findOtherName(ordered: readonly Identifier[], named: readonly Identifier[]): string | undefined {
  const toText = ({ type, value }: Identifier) => `${type} ${value}`;
  const [all, own] = [new Set(ordered.map(toText)), new Set(named.map(toText))];
  const missing = ordered.find(one => !own.has(toText(one)));
  if (missing) return `the CSR does not name ${missing.value}, which the order is for`;
  const other = named.find(one => !all.has(toText(one)));
  return other && `the CSR names ${other.value}, which the order is not for`;
}
