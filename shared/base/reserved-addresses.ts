import { isIPv4 } from 'node:net';
import { plainAddress, toAddressSet } from './identifier.ts';

/**
 * Addresses where no public CA looks or is, and where somebody else's name or answer could lead us: IANA's
 * registries of special-purpose addresses (RFC 6890), with multicast, and what is deprecated but may still be
 * routed.
 */
const isListed = toAddressSet([
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12'],
  ...['192.0.0.0/24', '192.0.2.0/24', '192.31.196.0/24', '192.52.193.0/24', '192.88.99.0/24'],
  ...['192.168.0.0/16', '192.175.48.0/24', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24'],
  ...['224.0.0.0/4', '240.0.0.0/4'],
  '::/96', // unspecified, loopback, and IPv4 behind zeros (RFC 4291 section 2.5.5.1)
  ...['64:ff9b::/96', '64:ff9b:1::/48'], // NAT64: any IPv4 address stands in them
  ...['100::/64', '100:0:0:1::/64', '2001:db8::/32', '2620:4f:8000::/48', '3fff::/20', '5f00::/16'],
  '2001::/23', // Teredo, benchmarking, ORCHID and other assignments of the IETF
  '2002::/16', // 6to4
  ...['fc00::/7', 'fe80::/10', 'ff00::/8'],
  'fec0::/10', // site-local (RFC 3879)
]);

/** An IPv4 address in IPv6 form is reserved, whichever it is. @param address without brackets */
export const isReserved = (address: string): boolean =>
  isListed(address) || (address.includes(':') && isIPv4(plainAddress(address) ?? ''));
