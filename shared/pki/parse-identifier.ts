import { canonicalAddress } from '../base/address.ts';
import { parseDnsName } from './dns-name.ts';
import type { Identifier } from './identifier.ts';

/** What somebody wrote as a name: an IP address (RFC 8738), else a DNS name. Throws `badCsr` with the reason. */
export function parseIdentifier(text: string): Identifier {
  const address = canonicalAddress(text);
  return address === undefined ? { type: 'dns', value: parseDnsName(text) } : { type: 'ip', value: address };
}
