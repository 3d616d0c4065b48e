import { atMost } from '../base/at-most.ts';
import { describeError } from '../base/errors.ts';
import { canProve } from '../base/identifier.ts';
import { parseDomain } from '../config/domain-name.ts';
import { toFlag, wholeNumber } from '../config/option-values.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';
import { parseDnsAddress, parseDnsServer } from './dns-server.ts';
import { toDns01Record } from './dns01-record.ts';
import type { ChallengeResponse, Kind, Solver, SolverParts } from './solver.ts';
import { readTsigKey } from './tsig-key.ts';
import { openUpdatableZones, type UpdatableZonesConfig } from './updatable-zones.ts';

/** dns-01 (RFC 8555 section 8.4) by dynamic updates (RFC 2136) of the zone that holds the name. */
export const dnsUpdate: Kind<DnsUpdateConfig> = {
  parse: parseDnsUpdate,
  open: openDnsUpdateSolver,
  trial: {
    describe: ({ propagation }, response) =>
      `a test record ${toDns01Record(response).name} was added${propagation === false ? '' : ', seen'} and removed`,
  },
};

export type DnsUpdateConfig = UpdatableZonesConfig & {
  name: string;
  type: 'dns01-dnsUpdate';
  challenge: 'dns-01';
  /**
   * Milliseconds that all name servers of the zone have for showing a record; false: it is not looked for.
   */
  propagation: number | false;
};

/** Shorter than a client is held, and long enough for a secondary that looks for changes every minute. */
const PROPAGATION = 120;

function parseDnsUpdate(section: SectionReader): DnsUpdateConfig {
  const servers = section.many('dns-server', parseDnsServer);
  const ttl = section.one('ttl', wholeNumber(0, 86_400)) ?? 60;
  const timeout = section.one('timeout', wholeNumber(1, 300)) ?? 5;
  const key = readTsigKey(section);
  const zones = section.many('zone', parseDomain);
  const propagation = section.one('propagation', parsePropagation) ?? PROPAGATION;
  const propagationServers = section.many('propagation-server', parseDnsServer);
  const resolvers = section.many('resolver', parseDnsAddress);
  section.finish();
  if (propagation === false && propagationServers.length > 0) {
    section.fail('is never asked, as propagation is off; remove one of them', 'propagation-server');
  }
  return {
    name: section.label,
    type: 'dns01-dnsUpdate',
    challenge: 'dns-01',
    ttl,
    timeout: timeout * 1_000,
    servers: servers.length > 0 ? servers : [{ host: '127.0.0.1', port: 53 }],
    ...(key && { key }),
    zones,
    propagationServers,
    resolvers,
    propagation: propagation === false ? false : propagation * 1_000,
  };
}

const parsePropagation: Parse<number | false> = (text, fail) =>
  text !== '' && toFlag(text) === false
    ? false
    : wholeNumber(1, 3_600)(text, () => fail('is neither off nor a number of seconds from 1 to 3600'));

/** Names that are worked on at once: servers take a limited number of connections, BIND 150. */
const MOST_AT_ONCE = 16;

/** @param nameServerPort where the name servers of a zone are asked; 53, but for tests */
export function openDnsUpdateSolver(
  config: DnsUpdateConfig,
  { clock, log, nameServerPort = 53 }: Pick<SolverParts, 'clock' | 'log'> & { nameServerPort?: number },
): Solver {
  const { name, propagation } = config;
  const zones = openUpdatableZones(config, clock, nameServerPort);
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
        // The name is proven, or given up: what remains is the operator's to remove, and keeps no certificate
        // back.
        const reason = describeError(error);
        log.warn({ verification: name, name: record.name, reason }, 'TXT record cannot be removed');
      }
    },
    ...(propagation !== false && { propagation: { deadline: propagation, missing } }),
  };
}
