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
};

export type Redis = AsyncDisposable & {
  url: string;
  port: number;
  readonly pid: number;
  stop(): Promise<void>;
  /** SIGKILL, and waits. */
  kill(): Promise<void>;
  /** Starts it again on the same port and folder, after stopping it where it still runs. */
  restart(): Promise<void>;
};

/** A Redis (or Valkey) of its own, on loopback, that never evicts. */
export async function startRedis({
  appendonly = false,
  port,
  dir,
  aclFile,
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
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  const start = () =>
    startProcess(command, args, { name: 'redis-server', ready: /Ready to accept connections/ });

  let redis: Process;
  try {
    redis = await start();
  } catch (error) {
    await ownDir?.[Symbol.asyncDispose]();
    throw error;
  }
  return {
    url: `redis://127.0.0.1:${ownPort}`,
    port: ownPort,
    get pid() {
      return redis.pid;
    },
    stop: async () => void (await redis.stop()),
    kill: () => redis.kill(),
    async restart() {
      await redis.stop();
      redis = await start();
    },
    async [Symbol.asyncDispose]() {
      await redis.stop();
      await ownDir?.[Symbol.asyncDispose]();
    },
  };
}
