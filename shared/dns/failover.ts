import { IssuanceError } from '../base/errors.ts';
import type { DnsServer } from './exchange.ts';
import type { Peer } from './signed-exchange.ts';

/** Lets an act be done with the first server that can. */
export type Failover = <T>(act: (peer: Peer) => Promise<T>, signal: AbortSignal) => Promise<T>;

/**
 * Where a server cannot be reached, or fails, the next takes its turn; a refusal is final. The one that could last is asked
 * first, as one that is down costs a whole timeout.
 *
 * The acts reject with IssuanceErrors; when all were `unavailable`, so is this, and tells of each.
 */
export function openFailover(servers: readonly DnsServer[], peer: Omit<Peer, 'server'>): Failover {
  let last = 0;
  return async (act, signal) => {
    const failures: IssuanceError[] = [];
    for (const [index, server] of [...servers.entries(), ...servers.entries()].slice(
      last,
      last + servers.length,
    )) {
      try {
        const result = await act({ ...peer, server });
        last = index;
        return result;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof IssuanceError) || error.code !== 'unavailable') throw error;
        failures.push(error);
      }
    }
    throw new IssuanceError('unavailable', failures.map(({ message }) => message).join('; '), {
      cause: failures[0],
    });
  };
}
