import type { Redis } from 'ioredis';
import { endSilence } from './outages.ts';
import { formatEndpoint, type RedisAddress, type RedisPlace } from './redis-address.ts';
import { connectTo } from './redis-connection.ts';

type SentinelPlace = Extract<RedisPlace, { sentinels: unknown }>;

/**
 * Has connections made anew once a Sentinel names another master. The old one, where it was demoted or cut
 * off, goes on for ten seconds until it hears of that, and what it takes in that time is lost. A Sentinel
 * that does not let this user listen is passed over.
 *
 * @param connections those that are open, asked for each time
 */
export function followSwitches(address: SentinelPlace, connections: () => Iterable<Redis>): Disposable {
  const leave = (master: string) => {
    for (const redis of connections())
      if (redis.status === 'ready' && whereIs(redis) !== master) redis.disconnect(true);
  };
  const listening = address.sentinels.map(endpoint => {
    const sentinel = connectTo(toAddress(address, formatEndpoint(endpoint)), 'patient', false);
    listenTo(sentinel, address.master, leave);
    return sentinel;
  });
  return {
    [Symbol.dispose]() {
      for (const sentinel of listening) sentinel.disconnect();
    },
  };
}

const whereIs = ({ stream }: Redis) =>
  'remoteAddress' in stream ? `${stream.remoteAddress} ${stream.remotePort}` : undefined;

function toAddress({ sentinelLogin, sentinelTls }: SentinelPlace, endpoint: string): RedisAddress {
  return {
    url: `redis://${endpoint}`,
    ...(sentinelLogin && { login: sentinelLogin }),
    ...(sentinelTls && { tls: sentinelTls }),
  };
}

/** @param onSwitch is told of another master than the last one, also of one that it became unheard */
function listenTo(sentinel: Redis, name: string, onSwitch: (master: string) => void): void {
  let known: string | undefined;
  const note = (master: string) => {
    if (known !== undefined && known !== master) onSwitch(master);
    known = master;
  };
  // It is asked before it is listened to, as afterwards it could not be.
  async function listen() {
    const asked = sentinel.call('sentinel', 'get-master-addr-by-name', name);
    await sentinel.subscribe('+switch-master');
    note(((await asked) as string[]).join(' '));
  }
  sentinel.options.autoResubscribe = false;
  sentinel.on('error', () => {}); // the connections to Redis tell of what matters
  sentinel.on('connect', () => endSilence(sentinel));
  sentinel.on('ready', () => void listen().catch(() => {}));
  sentinel.on('message', (_, text: string) => {
    const [of, , , host, port] = text.split(' ');
    if (of === name) note(`${host} ${port}`);
  });
}
