import { atMost } from '../base/at-most.ts';
import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { canProve } from '../pki/identifier.ts';
import { toDns01Record } from './dns01-record.ts';
import type { DnsUpdateConfig } from './dns01-update-section.ts';
import type { ChallengeResponse, Solver } from './solver.ts';
import { openUpdatableZones } from './updatable-zones.ts';

/** Names that are worked on at once: servers take a limited number of connections, BIND 150. */
const MOST_AT_ONCE = 16;

export type DnsUpdateParts = {
  clock: Clock;
  log: Log;
  /** Where the name servers of a zone are asked; 53, but for tests. */
  nameServerPort?: number;
};

/** dns-01 (RFC 8555 section 8.4) by dynamic updates (RFC 2136) of the zone itself. */
export function openDnsUpdateSolver(config: DnsUpdateConfig, parts: DnsUpdateParts): Solver {
  const { name, propagation } = config;
  const zones = openUpdatableZones(config, parts.clock, parts.nameServerPort ?? 53);
  const inTurn = atMost(MOST_AT_ONCE);
  const lookInTurn = atMost(MOST_AT_ONCE); // a name server that is down holds up nobody who only writes

  const missing = async (response: ChallengeResponse, signal: AbortSignal) => {
    try {
      return await lookInTurn(() => zones.findUnshown(toDns01Record(response), signal));
    } catch (error) {
      signal.throwIfAborted();
      return describeError(error); // asked again until the deadline
    }
  };
  return {
    name,
    challengeType: 'dns-01',
    canProve: identifier => canProve('dns-01', identifier),
    present: (response, signal) => inTurn(() => zones.change('add', toDns01Record(response), signal)),
    async withdraw(response, signal) {
      const record = toDns01Record(response);
      try {
        await inTurn(() => zones.change('delete', record, signal));
      } catch (error) {
        signal.throwIfAborted();
        // The name is proven, or given up: what remains is the operator's to remove, and keeps no certificate back.
        const reason = describeError(error);
        parts.log.warn({ verification: name, name: record.name, reason }, 'TXT record cannot be removed');
      }
    },
    ...(propagation !== false && { propagation: { deadline: propagation, missing } }),
  };
}
