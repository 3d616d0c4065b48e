import { X509Certificate } from 'node:crypto';
import { splitChain } from './certificate.ts';

/** An issuer of which only the name is known begins so. It stands for all issuers of that name. */
export const NAMED = 'name ';

/**
 * Who signed the first certificate of a chain: the PEM of the issuer's own, or, where the chain does not have
 * that, `name ` and its name.
 *
 * @throws Error when the chain is damaged
 */
export function issuerIn(chain: string): string {
  const [pem = '', issuer] = splitChain(chain);
  const leaf = new X509Certificate(pem);
  return issuer !== undefined && leaf.verify(new X509Certificate(issuer).publicKey)
    ? issuer
    : NAMED + leaf.issuer;
}

/**
 * Whether this issuer has signed a certificate. Where only its name is known that can be claimed, but not by
 * a certificate that is its own issuer.
 *
 * @param issuer as `issuerIn` gives it
 */
export function isSignedBy(certificate: X509Certificate, issuer: string): boolean {
  if (issuer.startsWith(NAMED))
    return certificate.issuer === issuer.slice(NAMED.length) && !isSelfSigned(certificate);
  const own = new X509Certificate(issuer);
  return certificate.issuer === own.subject && certificate.verify(own.publicKey);
}

export const isSelfSigned = (certificate: X509Certificate) => certificate.verify(certificate.publicKey);

/**
 * Whether a certificate says that its issuer is of the same organisation as this one. Anybody can say so.
 *
 * @param issuer as `issuerIn` gives it
 */
export function isOfSameOrganisation(certificate: X509Certificate, issuer: string): boolean {
  const name = issuer.startsWith(NAMED) ? issuer.slice(NAMED.length) : new X509Certificate(issuer).subject;
  const organisation = organisationIn(certificate.issuer);
  return organisation !== undefined && organisation === organisationIn(name);
}

/** @param name a line for each attribute */
const organisationIn = (name: string) => name.split('\n').find(line => line.startsWith('O='));
