import type { DnsServer } from '../dns/exchange.ts';
import { type Ask, asking, askingFirst } from '../dns/query.ts';
import { readSystemResolvers } from './system-resolvers.ts';

/**
 * Asks resolvers, one after the other until one can answer.
 *
 * @param resolvers the system's where there are none; its list is read each time, as it may change
 * @param timeout milliseconds for one question and its answer
 */
export function openResolver(resolvers: readonly DnsServer[], timeout: number): Ask {
  const options = { recursive: true, timeout };
  return (name, type, signal) => {
    const servers = resolvers.length > 0 ? resolvers : readSystemResolvers();
    return askingFirst(servers.map(server => asking(server, options)))(name, type, signal);
  };
}
