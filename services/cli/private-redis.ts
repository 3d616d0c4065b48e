import { chmod, mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { Clock, Log } from '../../shared/base/basics.ts';
import { atOption } from '../../shared/base/file-error.ts';
import { privateSocket } from '../../shared/config/redis.ts';
import { findServer, type Server, spawnServer } from './redis-process.ts';

/** Milliseconds until it answers, not counting the time that it takes to load its data. */
const START_TIMEOUT = 20_000;
/** Milliseconds that one that was asked has for its answer. */
const LONGEST_ANSWER = 5_000;
/** Milliseconds before one that died is started again: first, and at most. */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 30_000;
/** One that ran for so many milliseconds is started again without a longer pause. */
const STEADY = 60_000;
/** How often in turn one that died is tried to start again, over half a minute. */
const MOST_TRIES = 6;
/** Longer than its own process needs to start it again. */
const SUCCESSION_DELAY = 5_000;
/** Milliseconds that the connections of this process's own roles have to be gone. */
const LAST_CONNECTIONS = 1_000;

type PrivateRedis = AsyncDisposable & {
  url: string;
  /** Rejects, in one line with Redis's own words, when it has died and cannot be started again. */
  failed: Promise<never>;
};

/**
 * A Redis for this machine alone: append-only, on a socket in the data directory, which no other user may
 * open. When it dies it is started again; when an earlier run left one behind, that one is used. It ends with
 * this run, but for one that another Quarry uses, which runs in the same folder.
 *
 * @param dir made where missing
 * @throws Error in one line when there is no `redis-server` or `valkey-server`, or it does not start, or when
 *   others may write to `dir`
 */
export async function startPrivateRedis(
  dir: string,
  { path, clock, log }: { path: string; clock: Clock; log: Log },
): Promise<PrivateRedis> {
  await prepareFolder(dir);
  const socket = privateSocket(dir);
  const command = findServer(path);
  const stop = new AbortController();
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();
  failed.catch(() => {}); // it may be before anybody listens
  let server: Server | undefined;

  const found = await lookFor(socket);
  if (found === 'silent')
    throw new Error(`[redis] dir: the Redis of an earlier run in ${dir} does not answer`);
  if (found === 'absent') await start();
  else await adopt();
  keepRunning().catch(error => (stop.signal.aborted ? undefined : fail(error)));

  async function adopt(): Promise<void> {
    log.info({ socket }, 'using the private Redis of an earlier run');
    if (!(await hasOthers(socket))) return;
    log.warn(
      { dir },
      'another quarry up uses this [redis] dir: both share its jobs; set another one in [redis] dir to keep them apart',
    );
  }

  async function start(): Promise<void> {
    server = spawnServer(command, dir, socket);
    const { ended, kill } = server;
    let words: string | undefined;
    void ended.then(said => {
      words = said;
    });
    for (let since = clock.now(); clock.now() - since < START_TIMEOUT; await clock.sleep(50)) {
      const state = await lookFor(socket);
      if (state === 'ready') return;
      if (words) throw new Error(`[redis] dir: the private Redis in ${dir} does not start: ${words}`);
      if (state === 'loading') since = clock.now();
    }
    kill('SIGKILL');
    throw new Error(`[redis] dir: the private Redis in ${dir} does not answer`);
  }

  async function keepRunning(): Promise<void> {
    let pause = FIRST_PAUSE;
    if (!server) {
      await untilGone();
      log.warn('the Redis of the earlier run is gone, starting one');
      await startAgain();
    }
    for (;;) {
      const startedAt = clock.now();
      const reason = await server?.ended;
      stop.signal.throwIfAborted();
      log.error({ reason }, 'the private Redis ended, starting it again');
      if (clock.now() - startedAt >= STEADY) pause = FIRST_PAUSE;
      await startAgain();
    }

    async function startAgain(): Promise<void> {
      for (let tries = 1; ; tries += 1) {
        await clock.sleep(pause, stop.signal);
        pause = Math.min(2 * pause, LONGEST_PAUSE);
        try {
          return await start();
        } catch (error) {
          if (tries === MOST_TRIES) throw error;
        }
      }
    }
  }

  /** The earlier run may be about to end, and its Redis with it: then there has to be another. */
  async function untilGone(): Promise<void> {
    for (let lastSeen = clock.now(); clock.now() - lastSeen < SUCCESSION_DELAY; ) {
      await clock.sleep(500, stop.signal);
      if ((await lookFor(socket)) !== 'absent') lastSeen = clock.now();
    }
  }

  async function isNeeded(): Promise<boolean> {
    if (server) return false;
    for (const since = clock.now(); await hasOthers(socket); await clock.sleep(50))
      if (clock.now() - since >= LAST_CONNECTIONS) return true;
    return false;
  }

  return {
    url: `unix:${socket}`,
    failed,
    async [Symbol.asyncDispose]() {
      stop.abort();
      if (await isNeeded()) return;
      // The answer to SHUTDOWN is a closed connection.
      await ask(socket, redis => redis.shutdown()).catch(() => {});
      server?.kill('SIGTERM'); // for one that does not listen yet
      await server?.ended;
    },
  };
}

/** Whoever may write to the folder can put another socket, or other data, in place of Redis's. */
async function prepareFolder(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 }).catch(error => {
    throw atOption(error, '[redis] dir');
  });
  const { mode, uid } = await stat(dir);
  const own = process.getuid?.() ?? uid;
  const fault = 'for the private Redis: choose another [redis] dir, or';
  if (uid !== own && uid !== 0)
    throw new Error(`${dir} is another user's, which will not do ${fault} chown it`);
  if (mode & 0o022) throw new Error(`others may write to ${dir}, which will not do ${fault} chmod go-w it`);
  await hideFiles(dir);
}

/** Those of earlier runs, which had this process's umask. */
async function hideFiles(dir: string): Promise<void> {
  const folder = join(dir, 'appendonlydir');
  const names = await readdir(folder).catch(() => []);
  for (const file of [join(dir, 'dump.rdb'), ...names.map(name => join(folder, name))])
    await chmod(file, 0o600).catch(() => {}); // Redis says what is wrong with it
}

/** `silent` is one that takes connections and does not answer. */
type Found = 'ready' | 'loading' | 'silent' | 'absent';

const lookFor = (socket: string): Promise<Found> =>
  ask(socket, redis => redis.ping()).then(
    () => 'ready',
    ({ message }: Error) => {
      if (message.startsWith('LOADING ')) return 'loading';
      return message === 'Command timed out' ? 'silent' : 'absent';
    },
  );

/** Whether anybody else is connected. One that cannot say so, as it ends or loads, has nobody. */
const hasOthers = (socket: string): Promise<boolean> =>
  ask(socket, async redis => {
    const clients = String(await redis.call('CLIENT', 'LIST'));
    return clients.trim().split('\n').length > 1;
  }).catch(() => false);

async function ask<T>(socket: string, command: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(socket, {
    ...{ lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 },
    ...{ enableReadyCheck: false, commandTimeout: LONGEST_ANSWER },
  });
  redis.on('error', () => {}); // the rejection says the same
  try {
    await redis.connect();
    return await command(redis);
  } finally {
    redis.disconnect();
  }
}
