import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/basics.ts';
import { damagedValue } from '../base/errors.ts';
import { canProve } from '../base/identifier.ts';
import { needingRedis, openGetTogether, type Store } from '../base/redis.ts';
import { keys } from '../base/redis-use.ts';
import { defaultListeners, inWords, type Listener, readListeners } from '../config/listener.ts';
import type { SectionReader } from '../config/section-reader.ts';
import { openKeptFaults } from './kept-faults.ts';
import {
  MODE,
  openSelfCheck,
  PORT,
  parseSelfCheck,
  type SelfCheckConfig,
  selfCheckRows,
} from './self-check.ts';
import { type ChallengeResponse, type Kind, RESPONSE_LIFE, type Solver, type SolverParts } from './solver.ts';

const LISTENERS = defaultListeners(1380, '0.0.0.0', '::');

/** http-01 (RFC 8555 section 8.3): the responders answer from what is put here. */
export const http01: Kind<Http01Config> = {
  rows: {
    listener: { meaning: 'where the responders listen', otherwise: inWords(LISTENERS) },
    ...selfCheckRows,
  },
  parse: parseHttp01,
  open: openHttp01Solver,
  redisUses: [keys('http-01:*', { worker: ['del', 'set'], responder: ['mget'], cli: ['del', 'set'] })],
};

type Http01Config = {
  name: string;
  type: 'http01';
  challenge: 'http-01';
  listeners: Listener[];
  selfCheck: SelfCheckConfig;
};

/** Stands in where no verification is defined. */
export const implicitVerification: Http01Config = {
  name: 'http01',
  type: 'http01',
  challenge: 'http-01',
  listeners: LISTENERS,
  selfCheck: { mode: MODE, port: PORT, resolvers: [], networks: [] },
};

function parseHttp01(section: SectionReader): Http01Config {
  const listeners = readListeners(section, ['listener'], implicitVerification.listeners);
  const selfCheck = parseSelfCheck(section);
  section.finish();
  return { name: section.label, type: 'http01', challenge: 'http-01', listeners, selfCheck };
}

function openHttp01Solver(
  { name, selfCheck }: Http01Config,
  { store, log }: Pick<SolverParts, 'store' | 'log'>,
): Solver {
  const responses = openChallengeResponses(store);
  const { mode } = selfCheck;
  const isPresented = async ({ token }: ChallengeResponse) => (await responses.get(token)) !== null;
  return {
    name,
    ...(mode !== 'off' && {
      selfCheck: { mode, ...openKeptFaults(store, openSelfCheck(selfCheck, log, isPresented)) },
    }),
    challengeType: 'http-01',
    canProve: identifier => canProve('http-01', identifier),
    present: ({ token, keyAuthorization }) => needingRedis(() => responses.put(token, keyAuthorization)),
    withdraw: ({ token }) => needingRedis(() => responses.delete(token)),
  };
}

/**
 * The key that holds the key authorization of an http-01 token; a responder reads this key and nothing else.
 */
export const challengeKey = (prefix: string, token: string) => `${prefix}:http-01:${token}`;

export type ChallengeResponses = {
  put(token: string, keyAuthorization: string): Promise<void>;
  get(token: string): Promise<string | null>;
  delete(token: string): Promise<void>;
};

/**
 * The challenge responses in Redis, where any worker puts them and any responder finds them; for a CA that
 * asks from several places at once by one command.
 */
export function openChallengeResponses({ redis, prefix }: Store): ChallengeResponses {
  const getTogether = openGetTogether(redis);
  return {
    put: async (token, keyAuthorization) => {
      await redis.set(challengeKey(prefix, token), keyAuthorization, 'EX', RESPONSE_LIFE);
    },
    async get(token) {
      const keyAuthorization = await getTogether(challengeKey(prefix, token));
      if (keyAuthorization === null || keyAuthorization.startsWith(`${token}.`)) return keyAuthorization;
      throw damagedValue(challengeKey(prefix, token));
    },
    delete: async token => {
      await redis.del(challengeKey(prefix, token));
    },
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
export function rememberingFound(get: ChallengeResponses['get'], clock: Clock): ChallengeResponses['get'] {
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
