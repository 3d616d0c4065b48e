import type { Clock } from '../base/clock.ts';
import { IssuanceError } from '../base/errors.ts';
import { lowestZone } from '../base/host-name.ts';
import { needingRedis } from '../base/redis.ts';
import type { Ask } from '../dns/query.ts';
import { cnameOf } from '../dns/zone.ts';
import { canProve } from '../pki/identifier.ts';
import type { DnsRecords, Place } from './dns-records.ts';
import { toDns01Record } from './dns01-record.ts';
import type { Dns01ServerConfig } from './dns01-server-section.ts';
import { openResolver } from './resolver.ts';
import type { Solver } from './solver.ts';

/** As far as a CA's resolver follows CNAMEs, at least. */
const LONGEST_CHAIN = 8;
const RESOLVER_TIMEOUT = 5_000;

/** dns-01 (RFC 8555 section 8.4) in zones that are delegated to the responders, which answer from what is put here. */
export function openDns01ServerSolver(config: Dns01ServerConfig, records: DnsRecords, clock: Clock): Solver {
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

/** Whoever has asked for the name before may remember for so long that there was nothing, or another value. */
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
 * Where the CA will look: at the name itself where it lies in one of the zones, else where its CNAMEs lead into one.
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
