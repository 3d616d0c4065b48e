import { createServer } from 'node:http';
import { type ListeningServer, openListeners } from '../../shared/base/listeners.ts';
import { closeRedis, openRedis, type Store, whyRedisIsAway } from '../../shared/base/redis.ts';
import type { Role, RoleParts } from '../../shared/base/role.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { openChallengeResponses } from '../../shared/solver/challenge-responses.ts';
import { openDnsRecords } from '../../shared/solver/dns-records.ts';
import { openTlsAlpnResponses } from '../../shared/solver/tls-alpn-responses.ts';
import type { VerificationConfig } from '../../shared/solver/verification-section.ts';
import { createHttp01App } from './http01-app.ts';
import { outlastingRestarts } from './outlast-restarts.ts';

const RECEIVE_TIMEOUT = 10_000;

export type Responder = Role & { readonly addresses: { host: string; port: number }[] };

/**
 * The responder role: answers challenges from Redis, on the listeners of every verification that is answered here. Blocks
 * of one kind may share an address: any responder answers for all of them.
 */
export async function startResponder(config: Config, parts: RoleParts): Promise<Responder> {
  const { log } = parts;
  await using opening = new AsyncDisposableStack();
  const redis = opening.adopt(openRedis(parts.redisUrl, 'impatient', log), closeRedis);
  const addresses: Responder['addresses'] = [];
  const answering = { ...parts, store: { redis, prefix: config.redis.prefix } };
  for (const [type, createServers] of Object.entries(kinds)) {
    const blocks = [...config.verifications.values()].filter(block => block.type === type);
    if (blocks.length === 0) continue;
    const listeners = await openListeners(
      listenersOf(blocks),
      await createServers(blocks as never[], answering),
      log,
    );
    opening.use(listeners);
    addresses.push(...listeners.addresses);
    log.info({ type, listeners: listeners.addresses }, 'responder listens');
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
type Block<Type> = Extract<VerificationConfig, { type: Type }>;

/** What answers for each type of verification; imported when needed, so that a kind that nobody uses costs nothing. */
const kinds = {
  async http01(_: Block<'http01'>[], { store, clock, log, metrics }: AnswerParts): Promise<Servers> {
    const [responses, outlast] = [openChallengeResponses(store), outlastingRestarts(clock)];
    const app = createHttp01App({ get: token => outlast(() => responses.get(token)) }, log, metrics);
    return () => createServer({ headersTimeout: RECEIVE_TIMEOUT, requestTimeout: RECEIVE_TIMEOUT }, app);
  },

  async 'dns01-server'(blocks: Block<'dns01-server'>[], parts: AnswerParts): Promise<Servers> {
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

  async tlsalpn01(_: Block<'tlsalpn01'>[], parts: AnswerParts): Promise<Servers> {
    const { store, clock } = parts;
    const [responses, outlast] = [openTlsAlpnResponses(store, clock), outlastingRestarts(clock)];
    const { tlsAlpnServers } = await import('./tls-alpn-server.ts');
    return tlsAlpnServers({
      ...parts,
      responses: { get: identifier => outlast(() => responses.get(identifier)) },
    });
  },
};

function listenersOf(blocks: VerificationConfig[]) {
  const all = blocks.flatMap(block => ('listeners' in block ? block.listeners : []));
  return [...new Map(all.map(listener => [`${listener.host} ${listener.port}`, listener])).values()];
}
