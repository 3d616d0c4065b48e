import { parseDomain } from '../config/domain-name.ts';
import { toFlag, wholeNumber } from '../config/option-values.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';
import type { DnsServer } from '../dns/exchange.ts';
import type { TsigKey } from '../dns/tsig.ts';
import { parseDnsAddress, parseDnsServer } from './dns-server.ts';
import { readTsigKey } from './tsig-key.ts';

/** dns-01 by dynamic updates (RFC 2136) of the zone that holds the name. */
export type DnsUpdateConfig = {
  name: string;
  type: 'dns01-dnsUpdate';
  /** The servers that take updates; each of them alone would do. */
  servers: DnsServer[];
  /** Seconds that a record may be kept by others. */
  ttl: number;
  /** Milliseconds for one message to a server and its answer. */
  timeout: number;
  /** Signs updates; absent where the servers trust this machine's address. */
  key?: TsigKey;
  /** The zones to update; found where empty. */
  zones: string[];
  /** Milliseconds that all name servers of the zone have for showing a record; false: nobody looks. */
  propagation: number | false;
  /** Looked at instead of the zone's name servers, where there are any. */
  propagationServers: DnsServer[];
  /** What is asked about names that the servers do not hold; the system's where empty. */
  resolvers: DnsServer[];
};

/** Shorter than a client is held, and long enough for a secondary that looks for changes every minute. */
const PROPAGATION = 120;

export function parseDnsUpdate(section: SectionReader): DnsUpdateConfig {
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
    ...{ name: section.label, type: 'dns01-dnsUpdate', ttl, timeout: timeout * 1_000 },
    servers: servers.length > 0 ? servers : [{ host: '127.0.0.1', port: 53 }],
    ...(key && { key }),
    ...{ zones, propagationServers, resolvers },
    propagation: propagation === false ? false : propagation * 1_000,
  };
}

const parsePropagation: Parse<number | false> = (text, fail) =>
  text !== '' && toFlag(text) === false
    ? false
    : wholeNumber(1, 3_600)(text, () => fail('is neither off nor a number of seconds from 1 to 3600'));
