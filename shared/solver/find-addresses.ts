import { Resolver } from 'node:dns/promises';
import { isIP, isIPv6 } from 'node:net';
import { describeError } from '../base/errors.ts';
import { toAddressSet } from '../base/identifier.ts';
import { isReserved } from '../base/reserved-addresses.ts';
import { type DnsServer, formatServer } from '../dns/exchange.ts';

/**
 * The addresses that a host name leads to now, those of IPv6 first. Only the DNS is asked, no file of this
 * machine.
 *
 * @param servers DNS servers; the system's where empty
 * @throws Error in one line where there are none, or nobody can say
 */
export async function findAddresses(
  host: string,
  servers: readonly DnsServer[],
  signal: AbortSignal,
): Promise<string[]> {
  const resolver = new Resolver({ timeout: 2_000, tries: 2 });
  if (servers.length > 0) resolver.setServers(servers.map(formatServer));
  const cancel = () => resolver.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    const [v6, v4] = await Promise.allSettled([resolver.resolve6(host), resolver.resolve4(host)]);
    const found = [v6, v4].flatMap(answer => (answer.status === 'fulfilled' ? answer.value : []));
    if (found.length === 0 && v4.status === 'rejected')
      throw new Error(`no address found (${v4.reason.code})`);
    if (found.length === 0) throw new Error(`${host} has no address`);
    return found;
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

/** How names are looked up, and where they may lead. */
export type WayParts = {
  /** DNS servers that names are looked up with; the system's where empty. */
  resolvers: readonly DnsServer[];
  /** CIDRs of addresses that are not public, and that names may lead to all the same. */
  networks: readonly string[];
};

/** Why a host is not asked. `hidden`: it leads to this address, which is not public. */
export type NoWay = { fault: string; cause: 'dns' | 'connection'; hidden?: string };

/**
 * Where a host is asked, as Let's Encrypt chooses among its addresses: at the first one of IPv6, then at the
 * first one of IPv4.
 *
 * @param host without brackets
 */
export async function findWay(
  host: string,
  { resolvers, networks }: WayParts,
  signal: AbortSignal,
): Promise<string[] | NoWay> {
  const isAllowed = toAddressSet(networks);
  let found = [host];
  try {
    if (!isIP(host)) found = await findAddresses(host, resolvers, signal);
  } catch (error) {
    return { fault: describeError(error), cause: 'dns' };
  }
  const open = found.filter(address => !isReserved(address) || isAllowed(address));
  const [v6, v4] = [open.find(isIPv6), open.find(address => !isIPv6(address))];
  if (open.length > 0) return [v6, v4].flatMap(address => address ?? []);
  const [hidden = ''] = found;
  return { fault: `${host} leads to ${hidden}, which is not public`, cause: 'connection', hidden };
}

/**
 * Asks the second address where the first has not answered in time.
 *
 * @param patience milliseconds for the first
 */
export async function askEither<T>(
  [first = '', second]: readonly string[],
  ask: (address: string, signal: AbortSignal) => Promise<T>,
  patience: number,
  signal: AbortSignal,
): Promise<T> {
  if (second === undefined) return ask(first, signal);
  try {
    return await ask(first, AbortSignal.any([signal, AbortSignal.timeout(patience)]));
  } catch {
    signal.throwIfAborted();
    return ask(second, signal);
  }
}
