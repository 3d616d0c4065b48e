import { isIPv6 } from 'node:net';
import { addressToBytes, isInside, withParents } from '../../../shared/base/identifier.ts';
import { encodeName } from '../../../shared/dns/wire.ts';
import type { Dns01ServerConfig } from '../../../shared/solver/dns01-server.ts';
import { Type } from './codes.ts';

/** What a zone says whether or not there are challenges: RDATA by type and name. */
export type Zone = {
  name: string;
  /** Seconds, of challenges and of their absence. */
  ttl: number;
  soa: Buffer;
  fixed: ReadonlyMap<string, ReadonlyMap<number, readonly Buffer[]>>;
};

export type Zones = {
  /** The zone that is asked, of several the lowest one; `undefined` where we have nothing to say. */
  find(name: string): Zone | undefined;
  /** Whether names below this one are always there. */
  isAbove(name: string): boolean;
};

type ZoneConfig = Pick<Dns01ServerConfig, 'zones' | 'nameServers' | 'hostmaster' | 'ttl'>;

const challengeLabel = '_acme-challenge';

export function openZones(configs: readonly ZoneConfig[]): Zones {
  const zones = new Map(configs.flatMap(config => config.zones.map(name => [name, toZone(name, config)])));
  const names = [...zones.values()].flatMap(({ name, fixed }) => [name, ...fixed.keys()]);
  const above = new Set(names.flatMap(name => withParents(name).slice(1)));
  const open = configs.find(config => config.zones.length === 0);
  return {
    find(name) {
      const lowest = findLowest(zones, name);
      if (lowest || !open) return lowest;
      const challenge = withParents(name).findLast(parent => parent.startsWith(`${challengeLabel}.`));
      return challenge === undefined ? undefined : toZone(challenge, open);
    },
    isAbove: name => above.has(name),
  };
}

function findLowest(zones: ReadonlyMap<string, Zone>, name: string): Zone | undefined {
  for (let start = 0; ; ) {
    const zone = zones.get(name.slice(start));
    const dot = name.indexOf('.', start);
    if (zone || dot < 0) return zone;
    start = dot + 1;
  }
}

function toZone(name: string, { nameServers, hostmaster, ttl }: ZoneConfig): Zone {
  const soa = encodeSoa(nameServers[0]?.name ?? name, hostmaster ?? `hostmaster.${name}`, ttl);
  const apex = new Map([[Type.SOA as number, [soa]]]);
  if (nameServers.length > 0)
    apex.set(
      Type.NS,
      nameServers.map(server => encodeName(server.name)),
    );
  const fixed = new Map([[name, apex]]);
  for (const server of nameServers.filter(one => isInside(one.name, name))) {
    const types = fixed.get(server.name) ?? new Map<number, Buffer[]>();
    for (const address of server.addresses) {
      const type = isIPv6(address) ? Type.AAAA : Type.A;
      types.set(type, [...(types.get(type) ?? []), addressToBytes(address)]);
    }
    fixed.set(server.name, types);
  }
  return { name, ttl, soa, fixed };
}

/**
 * RFC 1035 section 3.3.13. No server fetches the zone, so its serial number stands still; the last number is
 * how long it may be remembered that there is no challenge (RFC 2308 section 4).
 */
function encodeSoa(primary: string, hostmaster: string, ttl: number): Buffer {
  const numbers = Buffer.alloc(20);
  for (const [index, number] of [1, 3_600, 600, 604_800, ttl].entries())
    numbers.writeUInt32BE(number, 4 * index);
  return Buffer.concat([encodeName(primary), encodeName(hostmaster), numbers]);
}
