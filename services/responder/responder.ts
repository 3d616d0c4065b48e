import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { LRUCache } from 'lru-cache';
import { tokenPattern } from '../../shared/acme/objects.ts';
import type { Clock } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import { watchHealth } from '../../shared/base/health.ts';
import { http } from '../../shared/base/http.ts';
import { toAddressSet } from '../../shared/base/identifier.ts';
import { atListener, type ListeningServer, openListeners } from '../../shared/base/listeners.ts';
import { Counter } from '../../shared/base/metrics.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import type { Store } from '../../shared/base/redis.ts';
import { failsWith, type Role, type RoleParts } from '../../shared/base/role.ts';
import type { Listener } from '../../shared/config/listener.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { openDnsRecords } from '../../shared/solver/dns-records.ts';
import { type ChallengeResponses, openChallengeResponses } from '../../shared/solver/http01.ts';
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
  async 'http-01'(_, { store, clock, log, metrics, room }) {
    const [responses, outlast] = [openChallengeResponses(store), outlastingRestarts(clock)];
    const get = (token: string) => outlast(() => responses.get(token));
    const app = createHttp01App({ get }, { clock, log, metrics });
    const options = { headersTimeout: RECEIVE_TIMEOUT, requestTimeout: RECEIVE_TIMEOUT };
    const makeRoom = () => toMakeRoom(room?.perListener ?? Infinity);
    return { create: () => http.createServer(options, app).on('connection', makeRoom()) };
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

/** A CA asks once, and stays no longer: where there are too many, the oldest connection gives way. */
function toMakeRoom(most: number): (socket: Socket) => void {
  const open = new Set<Socket>();
  return socket => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    if (open.size > most) open.values().next().value?.destroy();
  };
}

function listenersOf(blocks: Answered[]): Listener[] {
  const all = blocks.flatMap(({ listeners }) => listeners);
  return [...new Map(all.map(listener => [`${listener.host} ${listener.port}`, listener])).values()];
}

const PATH = '/.well-known/acme-challenge/';

/**
 * Answers http-01 challenges (RFC 8555 section 8.3). Bare `node:http`, as it has one path and is asked by the
 * CA's several vantage points at once. A token that is not known is a 404, and a Redis that is away a 503, so
 * that nginx can ask the next responder.
 */
export function createHttp01App(
  responses: Pick<ChallengeResponses, 'get'>,
  { clock, log, metrics }: Pick<ResponderParts, 'clock' | 'log' | 'metrics'>,
): RequestListener {
  const get = rememberingFound(responses.get, clock);
  const answers = new Counter({
    name: 'quarry_responder_answers_total',
    help: 'Answers to http-01 requests, by status',
    labelNames: ['status'],
    registers: [metrics],
  });

  const answer = (response: ServerResponse, status: number, type: string, body: string) => {
    answers.inc({ status });
    response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) });
    response.end(body); // Node leaves the body away where the request was HEAD
  };

  return (request: IncomingMessage, response: ServerResponse) => {
    const token = toToken(request);
    if (token === undefined) return answer(response, 404, 'text/plain', 'not found\n');
    get(token).then(
      keyAuthorization => {
        log.debug({ token, found: keyAuthorization !== null }, 'challenge asked for');
        if (keyAuthorization === null) answer(response, 404, 'text/plain', 'not found\n');
        else answer(response, 200, 'application/octet-stream', keyAuthorization);
      },
      error => {
        log.warn({ reason: describeError(error) }, 'challenge cannot be looked up');
        answer(response, 503, 'text/plain', 'try again\n');
      },
    );
  };
}

/** Milliseconds in which a CA has fetched a token from all of its places. */
const REMEMBERED_FOR = 2_000;
const MOST_REMEMBERED = 1_000;

/**
 * Remembers for a moment what was found, so that the fetches of one token by a CA ask Redis once. A token
 * belongs to one authorization of one account, so its key authorization never changes. One that was withdrawn
 * is seen until the moment is over, which RFC 8555 section 8.3 permits: it is no secret, and proves no more
 * than before. That there is none is not remembered, as a worker may present it at any time.
 */
function rememberingFound(get: ChallengeResponses['get'], clock: Clock): ChallengeResponses['get'] {
  const found = new LRUCache<string, string>({
    ...{ max: MOST_REMEMBERED, ttl: REMEMBERED_FOR },
    ...{ perf: clock, ttlResolution: 0 },
  });
  return async token => {
    const known = found.get(token);
    if (known !== undefined) return known;
    const keyAuthorization = await get(token);
    if (keyAuthorization !== null) found.set(token, keyAuthorization);
    return keyAuthorization;
  };
}

/** The token of a request that can be for a challenge at all; Redis is asked for nothing else. */
function toToken({ method, url = '' }: IncomingMessage): string | undefined {
  if (method !== 'GET' && method !== 'HEAD') return undefined;
  if (!url.startsWith(PATH)) return undefined;
  const token = url.slice(PATH.length).split('?', 1)[0] ?? '';
  return tokenPattern.test(token) ? token : undefined;
}

/** Longer than a restart of Redis, and shorter than a CA waits for an answer. */
const LONGEST_OUTAGE = 6_000;
const ASK_AGAIN = 100;

/** Asks until Redis answers. */
type OutlastRestarts = <T>(ask: () => Promise<T>) => Promise<T>;

/**
 * A CA looks once: with an answer that Redis's restart costs, the order would fail and a failed validation be
 * counted.
 */
function outlastingRestarts(clock: Clock): OutlastRestarts {
  return async ask => {
    const deadline = clock.now() + LONGEST_OUTAGE;
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (clock.now() >= deadline) throw error;
        await clock.sleep(ASK_AGAIN);
      }
    }
  };
}
