import { domainToUnicode } from 'node:url';
import { canonicalAddress } from '../base/address.ts';
import { IssuanceError } from '../base/errors.ts';

/**
 * A name that a certificate is for (RFC 8555 section 7.1.3, RFC 8738): a lower-cased A-label DNS name,
 * perhaps with the leftmost label `*`, or an IP address in its canonical text form (RFC 5952 for IPv6,
 * without brackets).
 */
export type Identifier = { type: 'dns' | 'ip'; value: string };

/** How an identifier is proven: RFC 8555 section 8, RFC 8737, and draft-ietf-acme-dns-persist. */
export type ChallengeType = 'http-01' | 'dns-01' | 'tls-alpn-01' | 'dns-persist-01';

/**
 * Whether a CA can validate this identifier by this kind of challenge at all. A wildcard is proven in the DNS
 * alone (RFC 8555 section 7.4.1), an address never there (RFC 8738).
 */
export function canProve(challenge: ChallengeType, { type, value }: Identifier): boolean {
  const inDns = challenge === 'dns-01' || challenge === 'dns-persist-01';
  return type === 'ip' ? !inDns : inDns || !value.startsWith('*.');
}

/** Reads an IP address (RFC 8738) or else a DNS name. Throws `badCsr` with the reason. */
export function parseIdentifier(text: string): Identifier {
  const address = canonicalAddress(text);
  return address === undefined ? { type: 'dns', value: parseDnsName(text) } : { type: 'ip', value: address };
}

const label = /^(?!-)[a-z0-9-]{1,63}(?<!-)$/;

/**
 * Reads a DNS name into the form that certificates carry: lower-cased, made of A-labels (RFC 5890), perhaps
 * with a whole leftmost label `*`. Names of a single label pass, as private CAs issue for them. Throws
 * `badCsr` with the reason.
 */
export function parseDnsName(text: string): string {
  const fault = findFault(text.toLowerCase());
  if (fault) throw new IssuanceError('badCsr', `malformed name ${quoteName(text)}: ${fault}`);
  return text.toLowerCase();
}

/** Makes a name out of a hostile CSR fit to stand in one line of text. */
export function quoteName(text: string): string {
  const shown = text.length > 100 ? `${text.slice(0, 100)}…` : text;
  return JSON.stringify(shown).replace(/[\p{C}\u2028\u2029]/gu, '?');
}

function findFault(name: string): string | undefined {
  if (name === '') return 'it is empty';
  if (/[^\0-\x7f]/.test(name)) return 'international names are to be written as A-labels (xn--…)';
  if (name.length > 253) return 'it is longer than 253 characters';
  if (name.endsWith('.')) return 'it ends in a dot';
  const labels = name.split('.');
  const wildcard = labels[0] === '*';
  if (wildcard && labels.length < 3) return 'a wildcard needs at least two labels after it';
  const rest = wildcard ? labels.slice(1) : labels;
  return rest.map(findLabelFault).find(fault => fault !== undefined) ?? findWholeFault(rest);
}

function findLabelFault(text: string): string | undefined {
  if (label.test(text)) return undefined;
  if (text === '') return 'it has an empty label';
  if (text.length > 63) return 'it has a label longer than 63 characters';
  if (text.includes('*')) return 'a * stands only alone and leftmost';
  return 'its labels may hold only letters, digits and inner hyphens';
}

function findWholeFault(labels: string[]): string | undefined {
  // No top-level domain is numeric: such a name is an IP address, or will be taken for one (RFC 3696 section
  // 2).
  if (/^\d+$/.test(labels.at(-1) ?? '')) return 'its last label is a number; addresses go into IP SANs';
  // domainToUnicode leaves a label as it is when its punycode is broken.
  const isBroken = (text: string) => text.startsWith('xn--') && domainToUnicode(text) === text;
  return labels.some(isBroken) ? 'it has an invalid A-label' : undefined;
}
