import { describeError, IssuanceError } from '../base/errors.ts';
import { canProve } from '../base/identifier.ts';
import { needingRedis } from '../base/redis.ts';
import { keys, list } from '../base/redis-use.ts';
import { runAll } from '../base/refusals.ts';
import { inCode } from '../config/option-rows.ts';
import type { Parse, SectionReader } from '../config/section-reader.ts';
import { type Dns01Record, toDns01Record } from './dns01-record.ts';
import { type Kind, RESPONSE_LIFE, type Solver, type SolverParts } from './solver.ts';

const toRemember = list('expire sadd smembers srem');

const SET_TXT = 'http://localhost:8055/set-txt';

/** dns-01 through the management interface of Pebble's challtestsrv: for tests. */
export const challtestsrv: Kind<ChalltestsrvConfig> = {
  rows: {
    'set-txt_url': {
      meaning: 'of its management interface; `clear-txt` is expected beside it',
      otherwise: inCode(SET_TXT),
    },
  },
  parse: parseChalltestsrv,
  open: openChalltestsrvSolver,
  redisUses: [keys('challtestsrv:*', { worker: toRemember, cli: toRemember })],
  trial: {
    takesAnyName: true,
    describe: (_, response) => `a test record ${toDns01Record(response).name} was set and cleared`,
  },
};

type ChalltestsrvConfig = {
  name: string;
  type: 'dns01-challtestsrv';
  challenge: 'dns-01';
  setTxtUrl: string;
};

function parseChalltestsrv(section: SectionReader): ChalltestsrvConfig {
  const setTxtUrl = section.one('set-txt_url', parseSetTxtUrl) ?? SET_TXT;
  section.finish();
  return { name: section.label, type: 'dns01-challtestsrv', challenge: 'dns-01', setTxtUrl };
}

/** What clears a record stands beside what sets it, so the end is fixed. */
const parseSetTxtUrl: Parse<string> = (text, fail) => {
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol)) return fail(`is not a URL such as ${SET_TXT}`);
  return url.pathname.endsWith('/set-txt') ? url.href : fail('does not end in /set-txt');
};

const TIMEOUT = 5_000;

/**
 * dns-01 by Pebble's challtestsrv. It adds a value to those of a name, but can only clear all of them at once
 * and cannot tell which there are: so the values are remembered in Redis, and what others still need is set
 * again after a clearing. In between, for the time of a request, a CA does not find it.
 */
export function openChalltestsrvSolver(
  { name, setTxtUrl }: ChalltestsrvConfig,
  { store: { redis, prefix } }: Pick<SolverParts, 'store'>,
): Solver {
  const key = (host: string) => `${prefix}:challtestsrv:${setTxtUrl}:${host}`;
  const valuesOf = (host: string) => needingRedis(() => redis.smembers(key(host)));
  const set = ({ name, value }: Dns01Record, signal: AbortSignal) =>
    post(setTxtUrl, { host: name, value }, signal);
  const clear = (host: string, signal: AbortSignal) =>
    post(new URL('clear-txt', setTxtUrl).href, { host }, signal);

  /** What is withdrawn by somebody else meanwhile is not to be set again. */
  async function setAll(host: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      const values = await valuesOf(host);
      for (const value of values) await set({ name: host, value }, signal);
      const left = new Set(await valuesOf(host));
      if (values.every(value => left.has(value))) return;
      await clear(host, signal);
    }
  }

  return {
    name,
    challengeType: 'dns-01',
    canProve: identifier => canProve('dns-01', identifier),
    async present(response, signal) {
      const record = toDns01Record(response);
      await needingRedis(() =>
        runAll(redis, changes =>
          changes.sadd(key(record.name), record.value).expire(key(record.name), RESPONSE_LIFE),
        ),
      );
      await set(record, signal);
    },
    async withdraw(response, signal) {
      const record = toDns01Record(response);
      await needingRedis(() => redis.srem(key(record.name), record.value));
      await clear(record.name, signal);
      await setAll(record.name, signal);
    },
  };
}

/** @throws IssuanceError `unavailable`, or the signal's reason */
async function post(url: string, body: { host: string; value?: string }, signal: AbortSignal): Promise<void> {
  try {
    const answer = await fetch(url, {
      method: 'POST',
      body: JSON.stringify({ ...body, host: `${body.host}.` }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT)]),
    });
    await answer.arrayBuffer();
    if (!answer.ok) throw new Error(`status ${answer.status}`);
  } catch (error) {
    signal.throwIfAborted();
    const { origin } = new URL(url);
    throw new IssuanceError('unavailable', `challtestsrv at ${origin}: ${describeError(error)}`, {
      cause: error,
    });
  }
}
