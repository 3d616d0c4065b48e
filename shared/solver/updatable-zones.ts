import type { Clock } from '../base/basics.ts';
import { IssuanceError } from '../base/errors.ts';
import { type DnsServer, formatServer } from '../dns/exchange.ts';
import { locate, type Place } from '../dns/locate.ts';
import { findUnshown, type ServerAddresses } from '../dns/propagation.ts';
import { type Ask, askingPeer } from '../dns/query.ts';
import { openFailover, type Peer } from '../dns/signed-exchange.ts';
import type { TsigKey } from '../dns/tsig.ts';
import { type TxtChange, updateTxt } from '../dns/update.ts';
import { findNameServers } from '../dns/zone.ts';
import type { Dns01Record } from './dns01-record.ts';
import { openResolver } from './resolver.ts';

/** The servers that take updates, and where it is looked up what they hold. */
export type UpdatableZonesConfig = {
  /** Each of them alone would do. */
  servers: DnsServer[];
  /** Seconds that a record may be kept by others. */
  ttl: number;
  /** Milliseconds for one message to a server and its answer. */
  timeout: number;
  /** Signs updates; absent where the servers trust this machine's address. */
  key?: TsigKey;
  /** The zones to update; found where empty. */
  zones: string[];
  /** Looked at instead of the zone's name servers, where there are any. */
  propagationServers: DnsServer[];
  /** What is asked about names that the servers do not hold; the system's where empty. */
  resolvers: DnsServer[];
};

/**
 * The zones of the servers that a configuration names. What is thrown is an IssuanceError, or the signal's
 * reason.
 */
type UpdatableZones = {
  /** Adds or deletes a record where it will be looked for: behind CNAMEs, in the zone that holds it. */
  change(act: TxtChange['do'], record: Dns01Record, signal: AbortSignal): Promise<void>;
  /** Which of the zone's name servers does not show the record, in one line; `undefined` when all show it. */
  findUnshown(record: Dns01Record, signal: AbortSignal): Promise<string | undefined>;
};

/** @param nameServerPort where the name servers of a zone are asked; 53, but for tests */
export function openUpdatableZones(
  config: UpdatableZonesConfig,
  clock: Clock,
  nameServerPort: number,
): UpdatableZones {
  const { servers, zones, key, ttl, timeout } = config;
  const resolve = openResolver(config.resolvers, timeout);
  const onAnyServer = openFailover(servers, { key, timeout, clock });
  const find = (name: string, peer: Peer, signal: AbortSignal): Promise<Place> =>
    locate(name, { ask: askingPeer(peer), resolve, zones, server: formatServer(peer.server) }, signal);
  return {
    change: (act, { name, value }, signal) =>
      onAnyServer(async peer => {
        const place = await find(name, peer, signal);
        await updateTxt(peer, place.zone, { do: act, name: place.name, value, ttl }, signal);
      }, signal),
    async findUnshown({ name, value }, signal) {
      const [place, shown] = await onAnyServer(async peer => {
        const place = await find(name, peer, signal);
        return [
          place,
          await findServers(place.zone, config, { peer, resolve, nameServerPort }, signal),
        ] as const;
      }, signal);
      return findUnshown({ name: place.name, value }, shown, timeout, signal);
    },
  };
}

type LookParts = { peer: Peer; resolve: Ask; nameServerPort: number };

/** Where the record has to be seen. */
async function findServers(
  zone: string,
  { servers, propagationServers }: UpdatableZonesConfig,
  { peer, resolve, nameServerPort: port }: LookParts,
  signal: AbortSignal,
): Promise<ServerAddresses[]> {
  if (propagationServers.length > 0) return propagationServers.map(server => ({ addresses: [server] }));
  const found = await findNameServers(zone, askingPeer(peer), signal, resolve);
  if (found.length === 0) throw new IssuanceError('misconfigured', `the zone ${zone} lists no name servers`);
  // One that is updated itself is asked at its port, which need not be 53.
  const known = [peer.server, ...servers];
  const toServer = (host: string) => known.find(one => one.host === host) ?? { host, port };
  return found.map(({ name, addresses }) => ({ name, addresses: addresses.map(toServer) }));
}
