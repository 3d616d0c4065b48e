import { appendFile } from 'node:fs/promises';
import { freePort } from './free-port.ts';
import { type Process, startProcess } from './processes.ts';
import { provision } from './provision.ts';
import { tempDir } from './temp-dir.ts';

export type RedisOptions = {
  /** Keep the data over a restart; no by default. */
  appendonly?: boolean;
  port?: number;
  /** More of its settings. */
  settings?: Record<string, string>;
  /** Where its users are kept; made where missing. */
  aclFile?: string;
  /** A folder that stays; by default a private one that is removed on dispose. */
  dir?: string;
  /** A file of more settings, which Redis rewrites where a Sentinel gives it another role. */
  configFile?: string;
  /** Added to this process's environment. */
  env?: Record<string, string>;
};

export type Redis = AsyncDisposable & {
  url: string;
  port: number;
  /** Where its users are kept. */
  aclFile?: string | undefined;
  readonly pid: number;
  stop(): Promise<void>;
  /** SIGKILL, and waits. */
  kill(): Promise<void>;
  /** Halts it where it is, so that its connections stay and nothing answers, until `thaw`. */
  freeze(): void;
  thaw(): void;
  /** Starts it again on the same port and folder, after stopping it where it still runs. */
  restart(): Promise<void>;
};

/** A Redis (or Valkey) of its own, on loopback, that never evicts. */
export async function startRedis({
  appendonly = false,
  port,
  dir,
  aclFile,
  configFile,
  env = {},
  settings: more = {},
}: RedisOptions = {}): Promise<Redis> {
  if (aclFile !== undefined) await appendFile(aclFile, '');
  const { 'redis-server': command } = await provision(['redis-server']);
  const ownDir = dir === undefined ? await tempDir() : undefined;
  const ownPort = port ?? (await freePort());
  const settings = {
    port: `${ownPort}`,
    bind: '127.0.0.1',
    dir: dir ?? ownDir?.path ?? '',
    save: '',
    appendonly: appendonly ? 'yes' : 'no',
    'maxmemory-policy': 'noeviction',
    ...(aclFile !== undefined && { aclfile: aclFile }),
    ...more,
  };
  const options = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  const args = configFile === undefined ? options : [configFile, ...options];
  const start = () =>
    startProcess(command, args, { name: 'redis-server', env, ready: /Ready to accept connections/ });

  let redis: Process;
  let frozen = false;
  /** Frozen it would hear no other signal. */
  const thaw = () => {
    if (frozen) process.kill(redis.pid, 'SIGCONT');
    frozen = false;
  };
  try {
    redis = await start();
  } catch (error) {
    await ownDir?.[Symbol.asyncDispose]();
    throw error;
  }
  return {
    url: `redis://127.0.0.1:${ownPort}`,
    port: ownPort,
    aclFile,
    get pid() {
      return redis.pid;
    },
    async stop() {
      thaw();
      await redis.stop();
    },
    async kill() {
      frozen = false;
      await redis.kill();
    },
    freeze() {
      process.kill(redis.pid, 'SIGSTOP');
      frozen = true;
    },
    thaw,
    async restart() {
      thaw();
      await redis.stop();
      redis = await start();
    },
    async [Symbol.asyncDispose]() {
      thaw();
      await redis.stop();
      await ownDir?.[Symbol.asyncDispose]();
    },
  };
}
