import type { Clock, Log } from '../../shared/base/basics.ts';
import type { ListeningServer } from '../../shared/base/listeners.ts';
import { Counter, type Registry } from '../../shared/base/metrics.ts';
import type { OutlastRestarts } from '../../shared/base/redis.ts';
import type { ConnectionRoom } from '../../shared/base/role.ts';
import type { DnsRecords } from '../../shared/solver/dns-records.ts';
import type { Dns01ServerConfig } from '../../shared/solver/dns01-server.ts';
import { withinRoom } from './cap-connections.ts';
import { openRateLimit } from './dns-server/rate-limit.ts';
import { responding } from './dns-server/respond.ts';
import { sharingLookups } from './dns-server/share-lookups.ts';
import { createTcpServer, usualLimits } from './dns-server/tcp.ts';
import { createUdpServer } from './dns-server/udp.ts';
import { openZones } from './dns-server/zones.ts';

const MOST_WAITING = 4_096;

type DnsServerParts = {
  records: Pick<DnsRecords, 'find'>;
  outlast: OutlastRestarts;
  clock: Clock;
  log: Log;
  metrics: Registry;
  room?: ConnectionRoom | undefined;
};

/** `prepare` makes what other blocks say, and returns what has all servers answer by it. */
type DnsServers = {
  create(host: string): ListeningServer[];
  prepare(blocks: readonly Dns01ServerConfig[]): () => void;
};

/**
 * Makes authoritative name servers for the zones of all blocks, over UDP and TCP. They know challenges, and
 * the little that zones are made of.
 */
export function dnsServers(
  blocks: readonly Dns01ServerConfig[],
  { records, outlast, clock, log, metrics, room }: DnsServerParts,
): DnsServers {
  // Added up here until somebody looks: to tell prom-client of each is a thirtieth of what an answer costs.
  const counted = { udp: new Map<string, number>(), tcp: new Map<string, number>() };
  new Counter({
    name: 'quarry_responder_dns_answers_total',
    help: 'Answers to DNS questions, by response code and transport',
    labelNames: ['rcode', 'transport'],
    registers: [metrics],
    collect() {
      for (const [transport, answers] of Object.entries(counted)) {
        for (const [rcode, count] of answers) this.inc({ rcode, transport }, count);
        answers.clear();
      }
    },
  });
  const limited = new Counter({
    name: 'quarry_responder_dns_limited_total',
    help: 'Questions over UDP beyond what one network may ask: sent to TCP (truncated), or not answered (dropped)',
    labelNames: ['how'],
    registers: [metrics],
  });
  const lookUp = sharingLookups(records.find, outlast);
  const limitOf = (all: typeof blocks) => openRateLimit(Math.min(...all.map(one => one.rateLimit)), clock);
  const [zones, limit] = [{ current: openZones(blocks) }, { current: limitOf(blocks) }];
  const respond = responding({ zones, lookUp, log }, (rcode, transport) => {
    counted[transport].set(rcode, (counted[transport].get(rcode) ?? 0) + 1);
  });
  const udp = {
    respond,
    verdictOn: (address: string) => limit.current(address),
    limited: (how: string) => limited.inc({ how }),
    mostWaiting: MOST_WAITING,
    log,
  };
  return {
    create: host => [createTcpServer(respond, withinRoom(usualLimits, room)), createUdpServer(host, udp)],
    prepare(next) {
      const [nextZones, nextLimit] = [openZones(next), limitOf(next)];
      return () => {
        [zones.current, limit.current] = [nextZones, nextLimit];
      };
    },
  };
}
