import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { chmod, mkdir, readdir, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { Redis } from 'ioredis';
import { type Clock, describeError, type Log } from '../../shared/base/basics.ts';
import { privateSocket } from '../../shared/config/redis.ts';

const START_TIMEOUT = 20_000;
const RESTART_DELAY = 500;
/** Longer than its own process needs to start it again. */
const SUCCESSION_DELAY = 5_000;

/**
 * A Redis for this machine alone: append-only, on a socket in the data directory, which no other user may
 * open. When it dies it is started again; when an earlier run left one behind, that one is used.
 *
 * @param dir made where missing
 * @throws Error in one line when there is no `redis-server` or `valkey-server`, or it does not start, or when
 *   others may write to `dir`
 */
export async function startPrivateRedis(
  dir: string,
  { path, clock, log }: { path: string; clock: Clock; log: Log },
): Promise<AsyncDisposable & { url: string }> {
  await prepareFolder(dir);
  const socket = privateSocket(dir);
  const [program, ...before] = commandLine(path);
  let stopping = false;
  let child: ChildProcess | undefined;

  if (await answers(socket)) {
    log.info({ socket }, 'using the private Redis of an earlier run');
    void succeed().catch(error =>
      log.error({ reason: describeError(error) }, 'the private Redis is not back yet'),
    );
  } else {
    await start();
  }

  /** The earlier run may be about to end, and its Redis with it: then there has to be another. */
  async function succeed() {
    for (let lastSeen = clock.now(); clock.now() - lastSeen < SUCCESSION_DELAY; await clock.sleep(500)) {
      if (stopping) return;
      if (await answers(socket)) lastSeen = clock.now();
    }
    log.warn('the Redis of the earlier run is gone, starting one');
    await start();
  }

  async function start() {
    child = spawn(program, [...before, ...serverOptions(dir, socket)], {
      stdio: ['ignore', 'ignore', 'inherit'],
      detached: true,
    });
    child.once('exit', code => {
      child = undefined;
      if (stopping) return;
      log.error({ code }, 'the private Redis ended, starting it again');
      void clock
        .sleep(RESTART_DELAY)
        .then(() => (stopping ? undefined : start()))
        .catch(error => log.error({ reason: describeError(error) }, 'the private Redis is not back yet'));
    });
    const deadline = clock.now() + START_TIMEOUT;
    while (!(await answers(socket))) {
      if (child === undefined || clock.now() > deadline)
        throw new Error(`the private Redis does not start in ${dir}`);
      await clock.sleep(50);
    }
  }

  return {
    url: `unix:${socket}`,
    async [Symbol.asyncDispose]() {
      stopping = true;
      const exited = child && once(child, 'exit');
      // The answer to SHUTDOWN is a closed connection.
      await ask(socket, redis => redis.shutdown()).catch(() => {});
      await exited;
    },
  };
}

/** Whoever may write to the folder can put another socket, or other data, in place of Redis's. */
async function prepareFolder(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
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

function serverOptions(dir: string, socket: string): string[] {
  const options = {
    port: '0',
    unixsocket: socket,
    unixsocketperm: '700',
    dir,
    appendonly: 'yes',
    appendfsync: 'everysec',
    'maxmemory-policy': 'noeviction',
    save: '',
    daemonize: 'no',
    loglevel: 'warning',
  };
  return Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
}

/**
 * With `setpriv` (Linux), Redis ends by itself when this process is killed; elsewhere the next run finds it.
 */
function commandLine(path: string): [string, ...string[]] {
  const redis = findProgram('redis-server', path) ?? findProgram('valkey-server', path);
  if (!redis) {
    throw new Error(
      'no Redis is configured and redis-server is not installed: set [redis] url, or install redis-server',
    );
  }
  const setpriv = process.platform === 'linux' ? findProgram('setpriv', path) : undefined;
  const command = setpriv ? [setpriv, '--pdeathsig', 'TERM', redis] : [redis];
  return ['/bin/sh', '-c', 'umask 077; exec "$@"', 'sh', ...command];
}

function findProgram(name: string, path: string): string | undefined {
  return path
    .split(delimiter)
    .map(folder => join(folder, name))
    .find(file => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

const answers = (socket: string) =>
  ask(socket, redis => redis.ping()).then(
    () => true,
    () => false,
  );

async function ask<T>(socket: string, command: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(socket, { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 });
  redis.on('error', () => {}); // the rejection says the same
  try {
    await redis.connect();
    return await command(redis);
  } finally {
    redis.disconnect();
  }
}
