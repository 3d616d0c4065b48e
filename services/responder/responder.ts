import { watchHealth } from '../../shared/base/health.ts';
import { toAddressSet } from '../../shared/base/identifier.ts';
import { atListener, type ListeningServer, openListeners } from '../../shared/base/listeners.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { outlastingRestarts, type Store } from '../../shared/base/redis.ts';
import { failsWith, type Role, type RoleParts } from '../../shared/base/role.ts';
import type { Listener } from '../../shared/config/listener.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { openDnsRecords } from '../../shared/solver/dns-records.ts';
import { openChallengeResponses } from '../../shared/solver/http01.ts';
import type { VerificationConfig } from '../../shared/solver/kinds.ts';
import { openTlsAlpnResponses } from '../../shared/solver/tlsalpn01.ts';

const RECEIVE_TIMEOUT = 10_000;

type Responder = Role<Config> & { readonly addresses: { host: string; port: number }[] };

/**
 * The responder role: answers challenges from Redis, on the listeners of every verification that is answered
 * here. Blocks of one challenge may share an address: any responder answers for all of them.
 */
export async function startResponder(config: Config, parts: ResponderParts): Promise<Responder> {
  const { log } = parts;
  await using opening = new AsyncDisposableStack();
  // Its user may read challenges and do nothing else.
  const ways = { enableReadyCheck: false, gathered: true };
  const redis = opening.adopt(openRedis(parts.redisAddress, 'impatient', log, ways), closeRedis);
  const addresses: Responder['addresses'] = [];
  const isTrusted = { current: toProxies(config) };
  const isProxy = (address: string) => isTrusted.current(address);
  const answering = { ...parts, store: { redis, prefix: config.redis.prefix }, isProxy };
  const preparing: ((config: Config) => () => void)[] = [];
  for (const [challenge, openServers] of Object.entries(servers)) {
    const blocks = blocksOf(config, challenge);
    if (blocks.length === 0) continue;
    const { create, prepare } = await openServers(blocks as never[], answering);
    const listeners = await openListeners(listenersOf(blocks), create, log).catch(
      atListener('[verification] listener'),
    );
    opening.use(listeners);
    addresses.push(...listeners.addresses);
    if (prepare) preparing.push(next => prepare(blocksOf(next, challenge) as never[]));
    log.info({ challenge, listeners: listeners.addresses }, 'responder listens');
  }
  if (addresses.length === 0) log.info('no verification is answered by a responder');
  const stopping = new AbortController();
  opening.defer(() => stopping.abort());
  const failed = failsWith(parts.untilRedisFits?.(stopping.signal), stopping.signal);
  const health = opening.use(watchHealth(redis, log)); // it may only read
  const open = opening.move();
  return {
    name: 'responder',
    addresses,
    notReady: health.fault,
    findFault: health.look,
    failed,
    async prepare(next) {
      const [proxies, takes] = [toProxies(next), preparing.map(prepare => prepare(next))];
      return () => {
        isTrusted.current = proxies;
        for (const take of takes) take();
      };
    },
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

/** Those on this machine are trusted without saying. */
const toProxies = ({ mgmt }: Config) => toAddressSet(['127.0.0.0/8', '::1', ...mgmt.trustedProxies]);

const blocksOf = ({ verifications }: Config, challenge: string) =>
  [...verifications.values()].filter(isAnsweredHere).filter(block => block.challenge === challenge);

/** It has no storage. */
type ResponderParts = Omit<RoleParts, 'storing'>;

type AnswerParts = ResponderParts & { store: Store; isProxy(address: string): boolean };
type Servers<Challenge> = {
  create(host: string): ListeningServer | readonly ListeningServer[];
  /** Absent where nothing of a block but its listeners matters here. */
  prepare?(blocks: Block<Challenge>[]): () => void;
};
type Answered = Extract<VerificationConfig, { listeners: Listener[] }>;
type Block<Challenge> = Extract<Answered, { challenge: Challenge }>;

const isAnsweredHere = (block: VerificationConfig): block is Answered => 'listeners' in block;

type OpenServers<Challenge> = (blocks: Block<Challenge>[], parts: AnswerParts) => Promise<Servers<Challenge>>;

/**
 * What answers each challenge; imported when needed, so that a challenge that no block is of costs nothing.
 */
const servers: { [Challenge in Answered['challenge']]: OpenServers<Challenge> } = {
  async 'http-01'(_, parts) {
    const { store, clock, room } = parts;
    const { http01Servers } = await import('./http01-server.ts');
    const [responses, outlast] = [openChallengeResponses(store), outlastingRestarts(clock)];
    const limits = { connections: room?.perListener ?? Infinity, receive: RECEIVE_TIMEOUT };
    return { create: http01Servers({ ...parts, ...limits, responses, outlast }) };
  },

  async 'dns-01'(blocks, parts) {
    const { store, clock } = parts;
    const { dnsServers } = await import('./dns-server.ts');
    const records = openDnsRecords(store, clock);
    return dnsServers(blocks, { ...parts, records, outlast: outlastingRestarts(clock) });
  },

  async 'tls-alpn-01'(_, parts) {
    const { store, clock } = parts;
    const [responses, outlast] = [openTlsAlpnResponses(store, clock), outlastingRestarts(clock)];
    const { tlsAlpnServers } = await import('./tls-alpn-server.ts');
    const get = (identifier: string) => outlast(() => responses.get(identifier));
    return { create: tlsAlpnServers({ ...parts, responses: { get } }) };
  },
};

function listenersOf(blocks: Answered[]): Listener[] {
  const all = blocks.flatMap(({ listeners }) => listeners);
  return [...new Map(all.map(listener => [`${listener.host} ${listener.port}`, listener])).values()];
}
