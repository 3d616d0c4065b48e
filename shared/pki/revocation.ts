import { X509Certificate } from 'node:crypto';
import { IssuanceError } from '../base/errors.ts';
import type { Identifier } from '../base/identifier.ts';
import { readCertificate, splitChain } from './certificate.ts';

/**
 * The reasons of RFC 5280 section 5.3.1 that publicly trusted CAs take from a subscriber, with their codes.
 */
export const revocationReasons = {
  unspecified: 0,
  keyCompromise: 1,
  superseded: 4,
  cessationOfOperation: 5,
} as const;

export type RevocationReason = keyof typeof revocationReasons;

const byName = Object.entries(revocationReasons) as [RevocationReason, number][];

/** Reads a reason's name, in any case, or its code; `undefined` for any other text. */
export function parseRevocationReason(text: string): RevocationReason | undefined {
  return byName.find(([name, code]) => name.toLowerCase() === text.toLowerCase() || `${code}` === text)?.[0];
}

/** The reasons that `parseRevocationReason` knows, for people. */
export const REASONS_TEXT = byName.map(([name, code]) => `${name} (${code})`).join(', ');

/** A certificate that a client wants revoked. */
type RevocableCertificate = {
  /** The leaf alone, as `splitChain` gives it. */
  pem: string;
  /** At least one. */
  identifiers: Identifier[];
  /** The identifiers' values, for people. */
  names: string[];
  /** Milliseconds since the epoch. */
  notAfter: number;
};

/**
 * Reads the first certificate of a posted body; the others are its chain. Quarry cannot have ordered a
 * certificate with names of other kinds, so no auth block covers it.
 *
 * @throws IssuanceError `badCsr` when it is no certificate, `denied` for other names than hosts and addresses
 */
export function readRevocable(text: string): RevocableCertificate {
  const { pem, identifiers, notAfter, named } = parse(text);
  if (named === 0) {
    const why = 'the certificate has no subjectAltName, and what its CN says does not count';
    throw new IssuanceError('denied', `${why}; an operator can revoke it with quarry acme reg … cert revoke`);
  }
  if (named !== identifiers.length) {
    throw new IssuanceError('denied', 'the certificate has names that are neither hosts nor addresses');
  }
  return { pem, identifiers, names: identifiers.map(({ value }) => value), notAfter };
}

function parse(text: string) {
  try {
    const [pem = ''] = splitChain(text);
    const { identifiers, notAfter } = readCertificate(pem);
    return { pem, identifiers, notAfter, named: countNames(new X509Certificate(pem).subjectAltName ?? '') };
  } catch (error) {
    throw new IssuanceError('badCsr', `not a certificate: ${(error as Error).message.split('\n')[0]}`, {
      cause: error,
    });
  }
}

/** Counts in Node's text form, which puts a name in quotes where it could be taken for several. */
function countNames(subjectAltName: string): number {
  if (subjectAltName === '') return 0;
  return subjectAltName.replace(/"(?:[^"\\]|\\.)*"/g, '').split(', ').length;
}
