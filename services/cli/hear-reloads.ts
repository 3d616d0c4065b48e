import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import { openSecret } from '../../shared/base/installation.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import type { RedisAddress } from '../../shared/base/redis-address.ts';
import type { Reloaded } from './live-config.ts';
import { digestFiles, type ReloadAnswer, readRequest, reloadChannels } from './reload-messages.ts';

export type HearParts = {
  /** With the login of one of the roles. */
  redisAddress: RedisAddress;
  prefix: string;
  /** Of the process. */
  roles: readonly string[];
  /** Whether it may publish nothing. */
  isReader: boolean;
  files: readonly string[];
  /** Of the installation's secret. */
  secretFile: string;
  reload(): Promise<Reloaded>;
  log: Log;
};

/** Requests that wait for one reload; more of them are passed over. */
const MOST_WAITING = 16;
/** Milliseconds for an answer to leave. */
const LONGEST_ANSWER = 3_000;
const ASK_AGAIN = 20;

/** Reloads when `quarry reload` asks for it, whenever Redis can be reached, and answers what became of it. */
export function hearReloads(parts: HearParts): Disposable {
  const { redisAddress, prefix, isReader, reload, log } = parts;
  const silent = log.child({}, { level: 'silent' });
  const { asked, askedReaders, answers } = reloadChannels(prefix);
  const connection = openRedis(redisAddress, 'patient', silent, { enableReadyCheck: !isReader });
  const waiting = new Set<string>();
  let working = false;

  async function work(): Promise<void> {
    working = true;
    while (waiting.size > 0) {
      const ids = [...waiting];
      waiting.clear();
      const reloaded = await reload();
      if (isReader) continue;
      await answer(ids, reloaded).catch(error => {
        log.warn({ reason: describeError(error) }, 'quarry reload cannot be answered');
      });
    }
    working = false;
  }

  async function answer(ids: readonly string[], reloaded: Reloaded): Promise<void> {
    const own = await toAnswer(parts, reloaded);
    const redis = openRedis(redisAddress, 'impatient', silent);
    try {
      const deadline = Date.now() + LONGEST_ANSWER;
      while (redis.status !== 'ready' && Date.now() < deadline) await delay(ASK_AGAIN);
      for (const id of ids) await redis.publish(answers, JSON.stringify({ ...own, id }));
    } finally {
      closeRedis(redis);
    }
  }

  connection.on('message', (_, text) => {
    const id = readRequest(text);
    if (id === undefined || waiting.size >= MOST_WAITING) return;
    waiting.add(id);
    if (!working) void work();
  });
  connection.on('ready', () => {
    connection.subscribe(isReader ? askedReaders : asked).catch(error => {
      log.debug({ reason: describeError(error) }, 'quarry reload cannot be heard');
    });
  });
  return { [Symbol.dispose]: () => closeRedis(connection) };
}

async function toAnswer(
  { roles, files, secretFile, log }: HearParts,
  reloaded: Reloaded,
): Promise<Omit<ReloadAnswer, 'id'>> {
  const secret = await openSecret(secretFile, log).catch(() => undefined);
  const digest = secret && (await digestFiles(files, secret).catch(() => undefined));
  return {
    ...{ roles: roles.join(', '), host: hostname(), pid: process.pid, digest: digest ?? '' },
    ...{ taken: [], needsRestart: [], ...reloaded },
  };
}
