import { createHash } from 'node:crypto';
import { getDomain } from 'tldts';
import type { Identifier } from '../pki/identifier.ts';

/**
 * Whose limits an order comes under. A CA counts orders by account, and certificates and failures over all accounts: so
 * two accounts at one CA share the latter.
 */
export type LimitScope = {
  /** The name of the account in the configuration. */
  account: string;
  /** `caOf` of its CA's directory. */
  ca: string;
};

/** A short name of a CA for keys, from the URL of its directory: `acme-v02.api.letsencrypt.org`. */
export function caOf(directoryUrl: string): string {
  const { host, pathname } = new URL(directoryUrl);
  return host + pathname.replace(/\/(directory|dir)?$/, '');
}

// Readable keys of what limits cover; an operator sees them and types them.

export const accountKey = ({ account }: LimitScope) => `account/${account}`;
export const domainKey = (domain: string, { ca }: LimitScope) => `domain/${domain}@${ca}`;
export const nameKey = (name: string, { ca }: LimitScope) => `name/${name}@${ca}`;
export const setKey = (identifiers: Identifier[], { ca }: LimitScope) =>
  `set/${setDigest(identifiers)}@${ca}`;
/** Quarry's own backoff, which is about the names and not about a CA. */
export const failuresKey = (identifiers: Identifier[]) => `failures/${setDigest(identifiers)}`;

/** The exact set of identifiers, in whatever order they were asked for. */
function setDigest(identifiers: Identifier[]): string {
  const names = identifiers.map(({ type, value }) => `${type}:${value}`).sort();
  return createHash('sha256').update(names.join('\n')).digest('hex').slice(0, 16);
}

/**
 * The registered domain by the Public Suffix List, its private part included, as Let's Encrypt counts; an address counts
 * for itself.
 */
function registeredDomain({ type, value }: Identifier): string {
  if (type === 'ip') return value;
  const name = value.replace(/^\*\./, '');
  return getDomain(name, { allowPrivateDomains: true }) ?? name;
}

export const registeredDomains = (identifiers: Identifier[]) => [
  ...new Set(identifiers.map(registeredDomain)),
];
