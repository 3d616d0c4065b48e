import { getServers } from 'node:dns';
import { IssuanceError } from '../base/basics.ts';
import type { DnsServer } from '../dns/exchange.ts';
import { type Ask, asking, askingFirst } from '../dns/query.ts';
import { parseDnsAddress } from './dns-server.ts';

/**
 * Asks resolvers, one after the other until one can answer.
 *
 * @param resolvers the system's where there are none; its list is read each time, as it may change
 * @param timeout milliseconds for one question and its answer
 */
export function openResolver(resolvers: readonly DnsServer[], timeout: number): Ask {
  const options = { recursive: true, timeout };
  return (name, type, signal) => {
    const servers = resolvers.length > 0 ? resolvers : systemResolvers();
    return askingFirst(servers.map(server => asking(server, options)))(name, type, signal);
  };
}

/** Node writes them as the configuration does. */
function systemResolvers(): DnsServer[] {
  return getServers().map(server =>
    parseDnsAddress(server, reason => {
      throw new IssuanceError('misconfigured', `the system's DNS server ${server} ${reason}`);
    }),
  );
}
