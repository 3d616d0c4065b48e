import { parse } from 'tldts';
import { plainAddress, toAddressSet } from '../base/identifier.ts';

const isLoopback = toAddressSet(['0.0.0.0/8', '127.0.0.0/8', '::/127']);
/** Private, shared and link-local addresses, where clouds have their metadata (RFC 6890). */
const isInside = toAddressSet([
  ...['10.0.0.0/8', '100.64.0.0/10', '169.254.0.0/16', '172.16.0.0/12', '192.168.0.0/16'],
  ...['fc00::/7', 'fe80::/10', 'fec0::/10'],
]);

/**
 * Whether a CA may name a URL on that host in its answers: one out in the internet has no business with
 * addresses of this machine and of its network, and we would sign a request to whoever listens there.
 *
 * @param directory the URL that the operator has configured
 * @param hostname as in a URL: an IPv6 address in brackets
 */
export function mayName(directory: string, hostname: string): boolean {
  const named = zoneOf(hostname);
  if (named === 'loopback') return zoneOf(URL.parse(directory)?.hostname ?? '') === 'loopback';
  return named === 'public' || !isPublic(URL.parse(directory)?.hostname ?? '');
}

/** A name may lead anywhere; only this machine's own is as good as an address. */
function zoneOf(hostname: string): 'loopback' | 'inside' | 'public' {
  const host = hostname.replace(/^\[|\]$|\.$/g, '').toLowerCase();
  const address = plainAddress(host);
  if (address === undefined) return /(^|\.)localhost$/.test(host) ? 'loopback' : 'public';
  if (isLoopback(address)) return 'loopback';
  return isInside(address) ? 'inside' : 'public';
}

/** Whether a CA is out in the internet: a name that only an internal DNS has is not. */
function isPublic(hostname: string): boolean {
  const { isIp, isIcann } = parse(hostname);
  return isIp ? zoneOf(hostname) === 'public' : isIcann === true;
}
