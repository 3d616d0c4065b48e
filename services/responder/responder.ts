import { createServer } from 'node:http';
import { type ListeningServer, openListeners } from '../../shared/base/listeners.ts';
import { closeRedis, openRedis, type Store, whyRedisIsAway } from '../../shared/base/redis.ts';
import type { Role, RoleParts } from '../../shared/base/role.ts';
import type { Listener } from '../../shared/config/listener.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { openDnsRecords } from '../../shared/solver/dns-records.ts';
import { openChallengeResponses } from '../../shared/solver/http01.ts';
import type { VerificationConfig } from '../../shared/solver/kinds.ts';
import { openTlsAlpnResponses } from '../../shared/solver/tlsalpn01.ts';
import { createHttp01App } from './http01-app.ts';
import { outlastingRestarts } from './outlast-restarts.ts';

const RECEIVE_TIMEOUT = 10_000;

type Responder = Role & { readonly addresses: { host: string; port: number }[] };

/**
 * The responder role: answers challenges from Redis, on the listeners of every verification that is answered here. Blocks
 * of one challenge may share an address: any responder answers for all of them.
 */
export async function startResponder(config: Config, parts: RoleParts): Promise<Responder> {
  const { log } = parts;
  await using opening = new AsyncDisposableStack();
  const redis = opening.adopt(openRedis(parts.redisUrl, 'impatient', log), closeRedis);
  const addresses: Responder['addresses'] = [];
  const answering = { ...parts, store: { redis, prefix: config.redis.prefix } };
  const answered = [...config.verifications.values()].filter(isAnsweredHere);
  for (const [challenge, createServers] of Object.entries(servers)) {
    const blocks = answered.filter(block => block.challenge === challenge);
    if (blocks.length === 0) continue;
    const listeners = await openListeners(
      listenersOf(blocks),
      await createServers(blocks as never[], answering),
      log,
    );
    opening.use(listeners);
    addresses.push(...listeners.addresses);
    log.info({ challenge, listeners: listeners.addresses }, 'responder listens');
  }
  if (addresses.length === 0) log.info('no verification is answered by a responder');
  const open = opening.move();
  return {
    name: 'responder',
    addresses,
    notReady: () => whyRedisIsAway(redis),
    failed: new Promise(() => {}),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

type AnswerParts = RoleParts & { store: Store };
type Servers = (host: string) => ListeningServer | readonly ListeningServer[];
type Answered = Extract<VerificationConfig, { listeners: Listener[] }>;
type Block<Challenge> = Extract<Answered, { challenge: Challenge }>;

const isAnsweredHere = (block: VerificationConfig): block is Answered => 'listeners' in block;

/** What answers each challenge; imported when needed, so that a challenge that no block is of costs nothing. */
const servers = {
  async 'http-01'(_: Block<'http-01'>[], { store, clock, log, metrics }: AnswerParts): Promise<Servers> {
    const [responses, outlast] = [openChallengeResponses(store), outlastingRestarts(clock)];
    const app = createHttp01App({ get: token => outlast(() => responses.get(token)) }, log, metrics);
    return () => createServer({ headersTimeout: RECEIVE_TIMEOUT, requestTimeout: RECEIVE_TIMEOUT }, app);
  },

  async 'dns-01'(blocks: Block<'dns-01'>[], parts: AnswerParts): Promise<Servers> {
    const { store, clock } = parts;
    const [records, outlast] = [openDnsRecords(store, clock), outlastingRestarts(clock)];
    const { dnsServers } = await import('./dns-server.ts');
    return dnsServers(blocks, {
      ...parts,
      records: {
        values: name => outlast(() => records.values(name)),
        isAbove: name => outlast(() => records.isAbove(name)),
      },
    });
  },

  async 'tls-alpn-01'(_: Block<'tls-alpn-01'>[], parts: AnswerParts): Promise<Servers> {
    const { store, clock } = parts;
    const [responses, outlast] = [openTlsAlpnResponses(store, clock), outlastingRestarts(clock)];
    const { tlsAlpnServers } = await import('./tls-alpn-server.ts');
    return tlsAlpnServers({
      ...parts,
      responses: { get: identifier => outlast(() => responses.get(identifier)) },
    });
  },
};

function listenersOf(blocks: Answered[]): Listener[] {
  const all = blocks.flatMap(({ listeners }) => listeners);
  return [...new Map(all.map(listener => [`${listener.host} ${listener.port}`, listener])).values()];
}
