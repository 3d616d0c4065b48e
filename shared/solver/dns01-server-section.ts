import { canonicalAddress } from '../base/address.ts';
import { isInside } from '../base/host-name.ts';
import { parseDomain } from '../config/domain-name.ts';
import { defaultListeners, type Listener, readListeners } from '../config/listener.ts';
import { wholeNumber } from '../config/option-values.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';
import type { DnsServer } from '../dns/exchange.ts';
import { parseDnsAddress } from './dns-server.ts';

/** dns-01, answered by the responders, which are the name servers of zones that lead to them. Names have no dot at their end. */
export type Dns01ServerConfig = {
  name: string;
  type: 'dns01-server';
  listeners: Listener[];
  /** Empty where every name that begins with `_acme-challenge.` is a zone of its own, as with macen. */
  zones: string[];
  /** What the zones say of themselves. */
  nameServers: NameServerConfig[];
  /** As in a SOA record, the first label being the local part; each zone has its own where it is undefined. */
  hostmaster: string | undefined;
  /** Seconds that a record may be cached, and that there is none. */
  ttl: number;
  /** UDP answers that a network gets in a second; Infinity for no limit. */
  rateLimit: number;
  /** What is asked where a CNAME leads; the system's where empty. */
  resolvers: DnsServer[];
};

export type NameServerConfig = {
  name: string;
  /** Where it is inside one of the zones, and nobody else can tell them. */
  addresses: string[];
};

/** What is remembered of one order stands in the way of the next for the same name. */
const defaultTtl = 0;
const defaultRateLimit = 200;

export function parseDns01Server(section: SectionReader): Dns01ServerConfig {
  const config: Dns01ServerConfig = {
    name: section.label,
    type: 'dns01-server',
    listeners: readListeners(section, ['listener', 'listeners'], defaultListeners(53, '0.0.0.0', '::')),
    zones: section.many('zone', parseDomain),
    nameServers: section.many('ns', parseNameServer),
    hostmaster: section.one('hostmaster', parseHostmaster),
    ttl: section.one('ttl', wholeNumber(0, 3_600)) ?? defaultTtl,
    rateLimit: section.one('rate-limit', parseRateLimit) ?? defaultRateLimit,
    resolvers: section.many('resolver', parseDnsAddress),
  };
  section.finish();
  checkZones(section, config);
  return config;
}

function checkZones(section: SectionReader, { zones, nameServers }: Dns01ServerConfig): void {
  if (nameServers.length === 0)
    section.warn('is missing; some resolvers mind that the zones name no name server', 'ns');
  const twice = zones.find((zone, index) => zones.indexOf(zone) !== index);
  if (twice !== undefined) section.fail(`${twice} is given twice`, 'zone');
  for (const { name, addresses } of nameServers) {
    const zone = zones.find(one => isInside(name, one));
    if (zone !== undefined && addresses.length === 0)
      section.fail(`${name} is inside the zone ${zone}, so its addresses have to follow its name`, 'ns');
    if (zone === undefined && addresses.length > 0)
      section.fail(`${name} is in none of the zones, so its addresses are told by others`, 'ns');
  }
}

/** `ns1.example.org`, or `ns1.acme.example.org 192.0.2.53 2001:db8::53`. */
const parseNameServer: Parse<NameServerConfig> = (text, fail) => {
  const [name = '', ...addresses] = text.split(/\s+/);
  const wrong = addresses.find(address => !canonicalAddress(address));
  if (wrong !== undefined) return fail(`${wrong} is not an IP address`);
  return { name: parseDomain(name, fail), addresses };
};

/** `hostmaster@example.org`, or as the SOA record has it, `hostmaster.example.org`. */
const parseHostmaster: Parse<string> = (text, fail) => {
  const [local = '', domain, ...more] = text.split('@');
  if (domain === undefined) return parseDomain(text, fail);
  if (more.length > 0 || local.includes('.'))
    return fail('is not an address such as hostmaster@example.org, without dots before its @');
  return parseDomain(`${local}.${domain}`, fail);
};

const parseRateLimit: Parse<number> = (text, fail) =>
  text.toLowerCase() === 'off' ? Number.POSITIVE_INFINITY : wholeNumber(1, 1_000_000)(text, fail);
