import { X509Certificate } from 'node:crypto';
import { IssuanceError } from '../base/errors.ts';
import { readCertificate } from './certificate.ts';
import type { Identifier } from './identifier.ts';
import { splitChain } from './pem.ts';

/** A certificate that somebody wants revoked. */
export type RevocableCertificate = {
  /** It alone, as `splitChain` gives it. */
  pem: string;
  /** What it is for, one at least. */
  identifiers: Identifier[];
  /** The same, for people. */
  names: string[];
  /** Milliseconds since the epoch. */
  notAfter: number;
};

/**
 * Reads the first certificate of a posted body, the others being those of its chain. A certificate with names of other
 * kinds is none that Quarry could have ordered, so nobody can be said to have it.
 *
 * @throws IssuanceError `badCsr` when it is no certificate, `denied` for other names than hosts and addresses
 */
export function readRevocable(text: string): RevocableCertificate {
  const { pem, identifiers, notAfter, named } = parse(text);
  if (identifiers.length === 0)
    throw new IssuanceError('denied', 'the certificate names no host and no address');
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

/** Of Node's text form, in which what could be taken for another name is in quotes. */
function countNames(subjectAltName: string): number {
  if (subjectAltName === '') return 0;
  return subjectAltName.replace(/"(?:[^"\\]|\\.)*"/g, '').split(', ').length;
}
