import { atMost } from '../base/at-most.ts';
import { describeError } from '../base/errors.ts';
import { canProve } from '../base/identifier.ts';
import { parseDomain } from '../config/domain-name.ts';
import { inCode } from '../config/option-rows.ts';
import { toFlag, wholeNumber } from '../config/option-values.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';
import type { DnsServer } from '../dns/exchange.ts';
import { parseDnsAddress, parseDnsServer } from './dns-server.ts';
import { toDns01Record } from './dns01-record.ts';
import type { ChallengeResponse, Kind, Solver, SolverParts } from './solver.ts';
import { readTsigKey, tsigRows } from './tsig-key.ts';
import { openUpdatableZones, type UpdatableZonesConfig } from './updatable-zones.ts';

/** Shorter than a client is held, and long enough for a secondary that looks for changes every minute. */
const PROPAGATION = 120;

const SERVER: DnsServer = { host: '127.0.0.1', port: 53 };
const TTL = 60;
const TIMEOUT = 5;

/** dns-01 (RFC 8555 section 8.4) by dynamic updates (RFC 2136) of the zone that holds the name. */
export const dnsUpdate: Kind<DnsUpdateConfig> = {
  rows: {
    'dns-server': {
      meaning:
        'the server that takes updates: `host`, `host:port`, `[IPv6]:port`; of several the next is asked where one cannot be reached or fails',
      otherwise: inCode(SERVER.host),
    },
    ttl: { meaning: 'seconds that others may keep the record', otherwise: inCode(TTL) },
    timeout: { meaning: 'seconds for one message to a server and its answer', otherwise: inCode(TIMEOUT) },
    ...tsigRows,
    zone: {
      meaning: 'the zone to update; of several the longest that holds the name',
      otherwise: 'found by asking `dns-server`',
    },
    propagation: {
      meaning:
        'seconds that all name servers of the zone have for showing the record before the order fails; `off`: Quarry does not look',
      otherwise: inCode(PROPAGATION),
    },
    'propagation-server': {
      meaning: '`host` or `host:port` to look at in place of the name servers that the zone lists',
      otherwise: "the zone's",
    },
    resolver: {
      meaning:
        '`address` or `address:port` of a DNS server that is asked about names that `dns-server` does not hold',
      otherwise: "the system's",
    },
  },
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

function parseDnsUpdate(section: SectionReader): DnsUpdateConfig {
  const servers = section.many('dns-server', parseDnsServer);
  const ttl = section.one('ttl', wholeNumber(0, 86_400)) ?? TTL;
  const timeout = section.one('timeout', wholeNumber(1, 300)) ?? TIMEOUT;
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
    servers: servers.length > 0 ? servers : [SERVER],
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
