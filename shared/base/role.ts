import type { Clock, Log } from './basics.ts';
import { lookKey, watchHealth } from './health.ts';
import type { Registry } from './metrics.ts';
import { closeRedis, openRedis } from './open-redis.ts';
import { untilRedisAnswers } from './outages.ts';
import type { Store } from './redis.ts';
import type { RedisAddress } from './redis-address.ts';
import type { Storing } from './storage-faults.ts';

/** How many connections of others fit, so that Quarry's own find descriptors; `Infinity` for any number. */
export type ConnectionRoom = {
  /** Of clients, at the intake. */
  clients: number;
  /** Of those who ask for challenges' answers, at each listener. */
  perListener: number;
};

/** What every role is handed besides its configuration. */
export type RoleParts = {
  redisAddress: RedisAddress;
  clock: Clock;
  log: Log;
  metrics: Registry;
  /** Any number where it is absent. */
  room?: ConnectionRoom;
  storing: Storing;
  /**
   * Resolves once Redis answers and is of use for the role; rejects, in one line, where it never will be, or
   * with the signal's reason.
   */
  untilRedisFits?(signal: AbortSignal): Promise<void>;
};

/** How a role is doing, asked anew each time somebody looks. */
type Condition = {
  /** Why it cannot do its work right now, in a few words; `undefined` when it can. */
  notReady(): string | undefined;
  /** The like, where it has to be asked for; nobody asks where `notReady` has a reason already. */
  findFault?(): Promise<string | undefined>;
  /**
   * What else an operator should know, ready or not, a line each: a CA that is away while another one works.
   */
  notes?(): string[] | Promise<string[]>;
};

/** A running role of Quarry. Disposing of it stops it cleanly. */
export type Role<Config = never> = AsyncDisposable &
  Condition & {
    readonly name: string;
    /** Rejects when the role can never work as configured; else stays pending. */
    readonly failed: Promise<never>;
    /**
     * Builds what the role makes of another configuration, and holds nothing of it yet. Absent: nothing that
     * may change is the role's. It asks Redis for nothing, as that may be away.
     *
     * @returns takes it over, at once and without fail; a request or a job that has begun ends as it began
     * @throws Error in one line where the role could not work with it
     */
    prepare?(config: Config): Promise<() => void>;
  };

export type RunningRole = {
  /** Answers when the run begins; while Redis is away later, its commands wait. */
  store: Store;
  /** Fires when the role is to stop. */
  stopping: AbortSignal;
  /** Says how the role is doing from now on; before the first report it is `starting`. */
  report(condition: Condition): void;
};

/** The condition of a role that works whenever Redis answers. */
export const ready: Condition = { notReady: () => undefined };

/** How long a role may take to end, as Redis may go away even then. */
const LONGEST_END = 9_000;
/** The same while Redis is away, or refuses to write: what waits for it does so without end. */
const LONGEST_STOP = 3_000;

/**
 * Starts a role that works in the background: waits for Redis, then runs.
 *
 * @param run does the role's work until `stopping` fires, and disposes of what it has opened before it ends;
 *   where it rejects before that, the role has failed
 */
export function startRole(
  name: string,
  parts: Omit<RoleParts, 'metrics' | 'storing'> & { prefix: string },
  run: (role: RunningRole) => Promise<void>,
): Role {
  const { redisAddress, prefix, clock, log } = parts;
  const stopping = new AbortController();
  const redis = openRedis(redisAddress, 'patient', log);
  const health = watchHealth(redis, log, lookKey(prefix));
  let condition: Condition = { notReady: () => 'starting' };

  async function runOnceRedisAnswers() {
    await parts.untilRedisFits?.(stopping.signal);
    await untilRedisAnswers(redis, clock, stopping.signal);
    const report = (next: Condition) => {
      condition = next;
    };
    await run({ store: { redis, prefix }, stopping: stopping.signal, report });
  }

  const running = runOnceRedisAnswers().catch(error => {
    if (!stopping.signal.aborted) throw error;
  });

  return {
    name,
    notReady: () => condition.notReady() ?? health.fault(),
    findFault: health.look,
    // While Redis is away there is nothing to read them from.
    notes: () => (health.fault() === undefined ? (condition.notes?.() ?? []) : []),
    failed: failsWith(running, stopping.signal),
    async [Symbol.asyncDispose]() {
      stopping.abort(new Error(`the ${name} is stopping`));
      const ended = new AbortController();
      const end = running.catch(() => {}).finally(() => ended.abort());
      const isWell = (await health.look()) === undefined;
      if (!isWell) closeRedis(redis); // else what waits for it would keep the process
      const longest = isWell ? LONGEST_END : LONGEST_STOP;
      await Promise.race([end, clock.sleep(longest, ended.signal).catch(() => {})]);
      health[Symbol.dispose]();
      closeRedis(redis);
    },
  };
}

/** A role's `failed`: rejects as what decides it does, but not because of a stop. */
export function failsWith(
  decisive: Promise<void> = Promise.resolve(),
  stopping: AbortSignal,
): Promise<never> {
  const failed = decisive
    .catch(error => {
      if (!stopping.aborted) throw error;
    })
    .then(() => new Promise<never>(() => {}));
  failed.catch(() => {}); // the caller may look later
  return failed;
}

/** Resolves when the signal fires. */
export async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }));
}
