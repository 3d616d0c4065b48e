import type { Clock, Log } from '../../shared/base/basics.ts';
import type { ListeningServer } from '../../shared/base/listeners.ts';
import { Counter, type Registry } from '../../shared/base/metrics.ts';
import type { DnsRecords } from '../../shared/solver/dns-records.ts';
import type { Dns01ServerConfig } from '../../shared/solver/dns01-server.ts';
import { openRateLimit } from './dns-server/rate-limit.ts';
import { responding } from './dns-server/respond.ts';
import { sharingLookups } from './dns-server/share-lookups.ts';
import { createTcpServer, usualLimits } from './dns-server/tcp.ts';
import { createUdpServer } from './dns-server/udp.ts';
import { openZones } from './dns-server/zones.ts';

const MOST_WAITING = 4_096;

type DnsServerParts = {
  records: Pick<DnsRecords, 'find'>;
  /** Asks until Redis answers, or for as long as an answer is of use. */
  outlast<T>(ask: () => Promise<T>): Promise<T>;
  clock: Clock;
  log: Log;
  metrics: Registry;
};

/**
 * Makes authoritative name servers for the zones of all blocks, over UDP and TCP. They know challenges, and
 * the little that zones are made of.
 */
export function dnsServers(
  blocks: readonly Dns01ServerConfig[],
  { records, outlast, clock, log, metrics }: DnsServerParts,
): (host: string) => ListeningServer[] {
  const answers = new Counter({
    name: 'quarry_responder_dns_answers_total',
    help: 'Answers to DNS questions, by response code and transport',
    labelNames: ['rcode', 'transport'],
    registers: [metrics],
  });
  const limited = new Counter({
    name: 'quarry_responder_dns_limited_total',
    help: 'Questions over UDP beyond what one network may ask: sent to TCP (truncated), or not answered (dropped)',
    labelNames: ['how'],
    registers: [metrics],
  });
  const lookUp = sharingLookups(records.find, outlast);
  const respond = responding({ zones: openZones(blocks), lookUp, log }, (rcode, transport) =>
    answers.inc({ rcode, transport }),
  );
  const verdictOn = openRateLimit(Math.min(...blocks.map(({ rateLimit }) => rateLimit)), clock);
  const udp = {
    respond,
    verdictOn,
    limited: (how: string) => limited.inc({ how }),
    mostWaiting: MOST_WAITING,
    log,
  };
  return host => [createTcpServer(respond, usualLimits), createUdpServer(host, udp)];
}
