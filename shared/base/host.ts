import { isIPv6 } from 'node:net';
import { addressToBytes } from './identifier.ts';

/**
 * What counts as one host, of a client's address: a host with IPv6 has a /64 as a rule, of which it may use
 * any address.
 *
 * @param address IPv4, or IPv6 with a zone or without
 */
export function toHost(address: string): string {
  if (!isIPv6(address)) return address;
  const [bare = ''] = address.split('%');
  return addressToBytes(bare).toString('hex', 0, 8);
}
