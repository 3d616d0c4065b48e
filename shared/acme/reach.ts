import { parse } from 'tldts';
import { plainAddress, toAddressSet } from '../base/identifier.ts';
import { isReserved } from '../base/reserved-addresses.ts';

const isLoopback = toAddressSet(['0.0.0.0/8', '127.0.0.0/8', '::/127']);

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
  return isReserved(address) ? 'inside' : 'public';
}

/** Whether a CA is out in the internet: a name that only an internal DNS has is not. */
function isPublic(hostname: string): boolean {
  const { isIp, isIcann } = parse(hostname);
  return isIp ? zoneOf(hostname) === 'public' : isIcann === true;
}
