import { createHash } from 'node:crypto';
import { getDomain } from 'tldts';
import type { Identifier } from '../pki/identifier.ts';

/** What an order is, as far as a CA's limits go. */
export type LimitedOrder = { account: string; identifiers: Identifier[] };

/** Readable keys of what limits cover; an operator sees them and types them. */
export const accountKey = (account: string) => `account/${account}`;
export const domainKey = (domain: string) => `domain/${domain}`;
export const nameKey = (name: string) => `name/${name}`;

/** The exact set of identifiers, in whatever order they were asked for. */
export function setKey(identifiers: Identifier[]): string {
  const names = identifiers.map(({ type, value }) => `${type}:${value}`).sort();
  return `set/${createHash('sha256').update(names.join('\n')).digest('hex').slice(0, 16)}`;
}

/**
 * The registered domain by the Public Suffix List, its private part included, as Let's Encrypt counts; an address counts
 * for itself.
 */
export function registeredDomain({ type, value }: Identifier): string {
  if (type === 'ip') return value;
  const name = value.replace(/^\*\./, '');
  return getDomain(name, { allowPrivateDomains: true }) ?? name;
}

/** All keys whose limits an order has to respect. */
export function keysOf({ account, identifiers }: LimitedOrder): string[] {
  const domains = new Set(identifiers.map(registeredDomain));
  return [
    accountKey(account),
    setKey(identifiers),
    ...[...domains].map(domainKey),
    ...identifiers.map(({ value }) => nameKey(value)),
  ];
}
