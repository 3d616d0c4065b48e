import type { Clock } from '../base/basics.ts';
import { withParents } from '../base/identifier.ts';
import { parseNumber, type Store } from '../base/redis.ts';
import { keys, list } from '../base/redis-use.ts';
import { runAll } from '../base/refusals.ts';
import { RESPONSE_LIFE } from './solver.ts';

const toPut = list('get set del pexpire zadd zrem zremrangebyscore');

/** What the records are in Redis, for whoever keeps them there. */
export const dnsRecordUses = [
  keys('dns-01:*', { worker: toPut, responder: ['zrevrangebyscore'], cli: toPut }),
  keys('dns-01-below:*', { worker: toPut, responder: ['zcount'], cli: toPut }),
  keys('dns-01-place:*', { worker: toPut, cli: toPut }),
];

const LIFE = RESPONSE_LIFE * 1_000;

/** More than one answer over TCP may hold; the newest count. */
const MOST_VALUES = 500;

/** The sorted set of TXT values at a name, each scored with the time when it ends. */
export const valuesKey = (prefix: string, name: string) => `${prefix}:dns-01:${name}`;
/** The like, of `name value` that lie below a name which may hold nothing itself. */
const belowKey = (prefix: string, name: string) => `${prefix}:dns-01-below:${name}`;
/** Where the value was put that proves a name, and when. */
const placeKey = (prefix: string, name: string, value: string) => `${prefix}:dns-01-place:${name}:${value}`;

/** Where a record is to be seen; lower-cased names without a dot at their end. */
export type Place = { name: string; zone: string };

/**
 * The TXT records of the zones that the responders serve, in Redis, where any worker puts them and any
 * responder finds them. Each value is added and removed alone, whatever else is at work at the same name.
 */
export type DnsRecords = {
  /** Puts the value for the challenge `of`, and remembers where. */
  add(of: string, value: string, place: Place): Promise<void>;
  /** When it was put, in milliseconds since the epoch; `undefined` where it is there no more. */
  addedAt(of: string, value: string): Promise<number | undefined>;
  /** Removes it from where it was put. */
  remove(of: string, value: string): Promise<void>;
  /**
   * What there is at each of the names, in one round trip; where there are no values, one more asks for all
   * of these whether there are some below.
   */
  find(names: readonly string[]): Promise<RecordsFound[]>;
};

export type RecordsFound = {
  values: string[];
  /** Whether there are values at names below this one; asked only where there are none at it. */
  isAbove: boolean;
};

export function openDnsRecords({ redis, prefix }: Store, clock: Clock): DnsRecords {
  /** All the sets that tell of a value, with what stands in them. */
  const entries = ({ name, zone }: Place, value: string): [key: string, member: string][] => [
    [valuesKey(prefix, name), value],
    ...between(name, zone).map((parent): [string, string] => [belowKey(prefix, parent), `${name} ${value}`]),
  ];

  async function readPlace(of: string, value: string): Promise<(Place & { at: number }) | undefined> {
    const key = placeKey(prefix, of, value);
    const text = await redis.get(key);
    if (text === null) return undefined;
    const [name = '', zone = '', at = ''] = text.split(' ');
    return { name, zone, at: parseNumber(key, at) };
  }

  async function findAbove(names: readonly string[], now: number): Promise<Set<string>> {
    const counts = await Promise.all(names.map(name => redis.zcount(belowKey(prefix, name), now, '+inf')));
    return new Set(names.filter((_, index) => counts[index] !== 0));
  }

  return {
    async add(of, value, place) {
      const now = clock.now();
      await runAll(redis, commands => {
        for (const [key, member] of entries(place, value)) {
          commands
            .zremrangebyscore(key, '-inf', now)
            .zadd(key, now + LIFE, member)
            .pexpire(key, LIFE);
        }
        return commands.set(placeKey(prefix, of, value), `${place.name} ${place.zone} ${now}`, 'PX', LIFE);
      });
    },
    async addedAt(of, value) {
      return (await readPlace(of, value))?.at;
    },
    async remove(of, value) {
      const place = await readPlace(of, value);
      if (!place) return;
      await runAll(redis, commands => {
        for (const [key, member] of entries(place, value)) commands.zrem(key, member);
        return commands.del(placeKey(prefix, of, value));
      });
    },
    async find(names) {
      const now = clock.now();
      const valuesAt = (name: string) =>
        redis.zrevrangebyscore(valuesKey(prefix, name), '+inf', now, 'LIMIT', 0, MOST_VALUES);
      const values = await Promise.all(names.map(valuesAt)); // they leave in one write
      const empty = names.filter((_, index) => values[index]?.length === 0);
      const above = await findAbove(empty, now);
      return names.map((name, index) => ({ values: values[index] ?? [], isAbove: above.has(name) }));
    },
  };
}

/** The names above this one and below its zone's. */
function between(name: string, zone: string): string[] {
  const parents = withParents(name);
  const depth = parents.indexOf(zone);
  return parents.slice(1, Math.max(depth, 1));
}
