import { Resolver } from 'node:dns';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { DnsServer } from '../dns/exchange.ts';

const RESOLV_CONF = '/etc/resolv.conf';
/** Where a resolver is that is said nowhere (resolv.conf(5)). */
const THIS_MACHINE = '127.0.0.1';

/**
 * The resolvers that this system names, as they are now: a lease of DHCP, a VPN or a new network may have
 * changed them since the process began, which is when Node's `dns.getServers()` reads them. Only their
 * addresses count: Quarry has time limits of its own.
 *
 * @param file that of resolv.conf(5)
 */
export function readSystemResolvers(file = RESOLV_CONF): DnsServer[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    // A system without one, or one that may not be read: a new channel of Node's asks the system anew.
    return new Resolver().getServers().flatMap(toServer);
  }
  const lines = text.split('\n').map(line => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? '');
  const found = lines.flatMap(toServer);
  return found.length > 0 ? found : [{ host: THIS_MACHINE, port: 53 }];
}

/** An address, a link-local one with its interface. What is none is passed over, as by libc. */
const toServer = (host: string): DnsServer[] => (isIP(host) ? [{ host, port: 53 }] : []);
