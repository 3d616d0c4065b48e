import type { Identifier } from './identifier.ts';

/** How an identifier is proven: RFC 8555 section 8, RFC 8737, and draft-ietf-acme-dns-persist. */
export type ChallengeType = 'http-01' | 'dns-01' | 'tls-alpn-01' | 'dns-persist-01';

/**
 * Whether a CA can validate this identifier by this kind of challenge at all: wildcards are proven in the DNS alone
 * (RFC 8555 section 7.4.1), and addresses never there (RFC 8738).
 */
export function canProve(challenge: ChallengeType, { type, value }: Identifier): boolean {
  const inDns = challenge === 'dns-01' || challenge === 'dns-persist-01';
  return type === 'ip' ? !inDns : inDns || !value.startsWith('*.');
}
