import type { Clock } from '../base/basics.ts';
import { IssuanceError } from '../base/errors.ts';
import { canonicalAddress, canProve, isInside, lowestZone } from '../base/identifier.ts';
import { needingRedis } from '../base/redis.ts';
import { parseDomain } from '../config/domain-name.ts';
import { defaultListeners, inWords, type Listener, readListeners } from '../config/listener.ts';
import { inCode } from '../config/option-rows.ts';
import { wholeNumber } from '../config/option-values.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';
import type { DnsServer } from '../dns/exchange.ts';
import type { Ask } from '../dns/query.ts';
import { cnameOf } from '../dns/zone.ts';
import { type DnsRecords, dnsRecordUses, openDnsRecords, type Place } from './dns-records.ts';
import { parseDnsAddress } from './dns-server.ts';
import { toDns01Record } from './dns01-record.ts';
import { openResolver } from './resolver.ts';
import type { Kind, Solver, SolverParts } from './solver.ts';

/** What is remembered of one order stands in the way of the next for the same name. */
const defaultTtl = 0;
const defaultRateLimit = 200;
const LISTENERS = defaultListeners(53, '0.0.0.0', '::');

/**
 * dns-01 (RFC 8555 section 8.4), answered by the responders, which are the name servers of zones that lead to
 * them.
 */
export const dns01Server: Kind<Dns01ServerConfig> = {
  rows: {
    listener: { meaning: 'where the responders listen, on UDP and TCP', otherwise: inWords(LISTENERS) },
    listeners: { meaning: "the same, as macen's README calls it", otherwise: '' },
    zone: { meaning: 'a zone that leads to the responders', otherwise: 'every `_acme-challenge.…` name' },
    ns: {
      meaning:
        'name of a name server of the zones, as the zone above has it; where it is inside one of the zones, its addresses follow',
      otherwise: 'none, with a warning',
    },
    hostmaster: { meaning: 'address of who runs the zones', otherwise: '`hostmaster.` and the zone' },
    ttl: {
      meaning:
        'seconds that others may remember a record, or that there is none; an order waits for as long before it tells the CA',
      otherwise: inCode(defaultTtl),
    },
    'rate-limit': {
      meaning: 'answers over UDP that a network (an IPv4 /24, an IPv6 /56) gets in a second, or `off`',
      otherwise: inCode(defaultRateLimit),
    },
    resolver: { meaning: 'DNS server by address that is asked where CNAMEs lead', otherwise: "the system's" },
  },
  parse: parseDns01Server,
  open: openDns01ServerSolver,
  redisUses: dnsRecordUses,
};

/** Names have no dot at their end. */
export type Dns01ServerConfig = {
  name: string;
  type: 'dns01-server';
  challenge: 'dns-01';
  listeners: Listener[];
  /** Empty where every name that begins with `_acme-challenge.` is a zone of its own, as with macen. */
  zones: string[];
  /** What the zones say of themselves. */
  nameServers: NameServerConfig[];
  /**
   * As in a SOA record, the first label being the local part; each zone has its own where it is undefined.
   */
  hostmaster: string | undefined;
  /** Seconds that a record may be cached, and that there is none. */
  ttl: number;
  /** UDP answers that a network gets in a second; Infinity for no limit. */
  rateLimit: number;
  /** What is asked where a CNAME leads; the system's where empty. */
  resolvers: DnsServer[];
};

type NameServerConfig = {
  name: string;
  /** Needed where it is inside one of the zones, as no other server knows them. */
  addresses: string[];
};

function parseDns01Server(section: SectionReader): Dns01ServerConfig {
  const config: Dns01ServerConfig = {
    name: section.label,
    type: 'dns01-server',
    challenge: 'dns-01',
    listeners: readListeners(section, ['listener', 'listeners'], LISTENERS),
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
      section.fail(`${name} is in none of the zones, so its addresses belong in its own zone`, 'ns');
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

/** As far as a CA's resolver follows CNAMEs, at least. */
const LONGEST_CHAIN = 8;
const RESOLVER_TIMEOUT = 5_000;

function openDns01ServerSolver(
  config: Dns01ServerConfig,
  { store, clock }: Pick<SolverParts, 'store' | 'clock'>,
): Solver {
  const records = openDnsRecords(store, clock);
  const ask = openResolver(config.resolvers, RESOLVER_TIMEOUT);
  return {
    name: config.name,
    challengeType: 'dns-01',
    canProve: identifier => canProve('dns-01', identifier),
    async present(response, signal) {
      const { name, value } = toDns01Record(response);
      const place = await findPlace(name, config, ask, signal);
      await needingRedis(() => records.add(name, value, place));
    },
    withdraw(response) {
      const { name, value } = toDns01Record(response);
      return needingRedis(() => records.remove(name, value));
    },
    ...(config.ttl > 0 && { propagation: forgetting(config.ttl * 1_000, records, clock) }),
  };
}

/** Longer than it takes to notice that the time is over. */
const MARGIN = 30_000;

/**
 * Whoever has asked for the name before may remember for so long that there was nothing, or another value.
 */
function forgetting(ttl: number, records: DnsRecords, clock: Clock): NonNullable<Solver['propagation']> {
  return {
    deadline: ttl + MARGIN,
    async missing(response) {
      const { name, value } = toDns01Record(response);
      const addedAt = await needingRedis(() => records.addedAt(name, value));
      if (addedAt === undefined) return `the record ${name} is lost`;
      const left = addedAt + ttl - clock.now();
      return left > 0 ? `resolvers may remember what was at ${name} before` : undefined;
    },
  };
}

/**
 * Where the CA will look: at the name itself where it lies in one of the zones, else where its CNAMEs lead
 * into one.
 *
 * @throws IssuanceError `challengeFailed` when they do not, or `unavailable` when no resolver can tell
 */
export async function findPlace(
  name: string,
  { name: verification, zones }: Pick<Dns01ServerConfig, 'name' | 'zones'>,
  ask: Ask,
  signal: AbortSignal,
): Promise<Place> {
  if (zones.length === 0) return { name, zone: name };
  let at: string | undefined = name;
  for (let step = 0; at !== undefined && step <= LONGEST_CHAIN; step++) {
    const zone = lowestZone(at, zones);
    if (zone !== undefined) return { name: at, zone };
    at = cnameOf(await ask(at, 'CNAME', signal), at);
  }
  const where = `the zones of verification "${verification}" (${zones.join(', ')})`;
  throw new IssuanceError(
    'challengeFailed',
    `${name} is not in ${where}, and no CNAME leads from it into one`,
  );
}
