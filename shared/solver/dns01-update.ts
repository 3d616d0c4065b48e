import { atMost } from '../base/at-most.ts';
import type { Clock } from '../base/clock.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { canProve } from '../config/challenge-type.ts';
import type { DnsUpdateConfig } from '../config/dns-update.ts';
import { type DnsServer, formatServer } from '../dns/exchange.ts';
import { locate, type Place } from '../dns/locate.ts';
import { findUnshown, type ServerAddresses } from '../dns/propagation.ts';
import { askingPeer } from '../dns/query.ts';
import type { Peer } from '../dns/signed-exchange.ts';
import { type TxtChange, updateTxt } from '../dns/update.ts';
import { findNameServers } from '../dns/zone.ts';
import { toDns01Record } from './dns01-record.ts';
import { openResolver } from './resolver.ts';
import type { ChallengeResponse, Solver } from './solver.ts';

/** Names that are worked on at once: servers take a limited number of connections, BIND 150. */
const MOST_AT_ONCE = 16;

export type DnsUpdateParts = {
  clock: Clock;
  log: Log;
  /** Where the name servers of a zone are asked. */
  nameServerPort?: number;
};

/** dns-01 (RFC 8555 section 8.4) by dynamic updates (RFC 2136) of the zone itself. */
export function openDnsUpdateSolver(config: DnsUpdateConfig, parts: DnsUpdateParts): Solver {
  const { name, ttl } = config;
  const { clock, log, nameServerPort = 53 } = parts;
  const inTurn = atMost(MOST_AT_ONCE);
  const lookInTurn = atMost(MOST_AT_ONCE); // a name server that is down holds up nobody who only writes
  const resolve = openResolver(config.resolvers, config.timeout);
  const onAnyServer = openFailover(config, clock);

  async function change(act: TxtChange['do'], record: { name: string; value: string }, signal: AbortSignal) {
    await onAnyServer(async peer => {
      const place = await find(record.name, peer, signal);
      await updateTxt(peer, place.zone, { do: act, name: place.name, value: record.value, ttl }, signal);
    }, signal);
  }

  function find(at: string, peer: Peer, signal: AbortSignal): Promise<Place> {
    return locate(
      at,
      { ask: askingPeer(peer), resolve, zones: config.zones, server: formatServer(peer.server) },
      signal,
    );
  }

  async function missing(response: ChallengeResponse, signal: AbortSignal): Promise<string | undefined> {
    const record = toDns01Record(response);
    try {
      const { place, servers } = await onAnyServer(async peer => {
        const place = await find(record.name, peer, signal);
        return { place, servers: await findServers(place.zone, peer, signal) };
      }, signal);
      return await findUnshown({ name: place.name, value: record.value }, servers, config.timeout, signal);
    } catch (error) {
      signal.throwIfAborted();
      return describeError(error); // asked again until the deadline
    }
  }

  async function findServers(zone: string, peer: Peer, signal: AbortSignal): Promise<ServerAddresses[]> {
    if (config.propagationServers.length > 0) return config.propagationServers.map(one => ({ addresses: [one] }));
    const found = await findNameServers(zone, askingPeer(peer), signal, resolve);
    if (found.length === 0) throw new IssuanceError('misconfigured', `the zone ${zone} lists no name servers`);
    // One that is updated itself is asked at its port, which need not be 53.
    const known = [peer.server, ...config.servers];
    const toServer = (host: string) => known.find(one => one.host === host) ?? { host, port: nameServerPort };
    return found.map(({ name, addresses }) => ({ name, addresses: addresses.map(toServer) }));
  }

  return {
    name,
    challengeType: 'dns-01',
    canProve: identifier => canProve('dns-01', identifier),
    present: (response, signal) => inTurn(() => change('add', toDns01Record(response), signal)),
    async withdraw(response, signal) {
      const record = toDns01Record(response);
      try {
        await inTurn(() => change('delete', record, signal));
      } catch (error) {
        signal.throwIfAborted();
        // The name is proven, or given up: what remains is the operator's to remove, and keeps no certificate back.
        log.warn(
          { verification: name, name: record.name, reason: describeError(error) },
          'TXT record cannot be removed',
        );
      }
    },
    ...(config.propagation !== false && {
      propagation: {
        deadline: config.propagation,
        missing: (response, signal) => lookInTurn(() => missing(response, signal)),
      },
    }),
  };
}

/** Lets the first server act that can; the one that could last is asked first. */
function openFailover({ servers, key, timeout }: DnsUpdateConfig, clock: Clock) {
  let last = 0;
  return async <T>(act: (peer: Peer) => Promise<T>, signal: AbortSignal): Promise<T> => {
    const failures: IssuanceError[] = [];
    const order = servers.map((_, index) => (last + index) % servers.length);
    for (const index of order) {
      try {
        const result = await act({ server: servers[index] as DnsServer, key, timeout, clock });
        last = index;
        return result;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof IssuanceError) || error.code !== 'unavailable') throw error;
        failures.push(error);
      }
    }
    throw new IssuanceError('unavailable', failures.map(({ message }) => message).join('; '), { cause: failures[0] });
  };
}
