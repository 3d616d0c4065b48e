import { systemClock } from '../../shared/base/basics.ts';
import { atOption } from '../../shared/base/file-error.ts';
import { http } from '../../shared/base/http.ts';
import { atListener, openListeners } from '../../shared/base/listeners.ts';
import { type OpenLog, openLog } from '../../shared/base/log.ts';
import type { ToGapLine } from '../../shared/base/log-sink.ts';
import { Counter, openMetrics, type Registry } from '../../shared/base/metrics.ts';
import type { RedisPlace } from '../../shared/base/redis-address.ts';
import type { Role, RoleParts } from '../../shared/base/role.ts';
import { openStoring } from '../../shared/base/storage-faults.ts';
import { openSyslog } from '../../shared/base/syslog.ts';
import { addressFor, findPlace } from '../../shared/config/redis-access.ts';
import { type Config, loadConfig } from '../../shared/setup/load-config.ts';
import { isReader } from '../../shared/setup/redis-acl.ts';
import { untilRedisFits } from '../../shared/setup/redis-fitness.ts';
import { createAdminApp, readReadiness } from './admin-app.ts';
import { type DescriptorNeeds, findDescriptorLimit, shareDescriptors } from './descriptors.ts';
import { followFiles } from './follow-files.ts';
import { findFaultBy, refuseUnfit, toRedisLooks } from './look-at-redis.ts';
import { startPrivateRedis } from './private-redis.ts';
import { openRolesClock } from './roles-clock.ts';
import { type NotifyVariables, openServiceManager } from './service-manager.ts';
import { type RoleName, startRole } from './start-role.ts';

/** For probes and for those who read the figures: idle connections of others cost no descriptors. */
const adminCap = { most: 32, onRefused() {} };

/** Milliseconds that a Redis which answers is given to tell its time, before the roles start. */
const LONGEST_QUESTION = 5_000;

type RunOptions = {
  files: string[];
  roles: readonly RoleName[];
  /** Whether to start a private Redis where none is configured. */
  privateRedis: boolean;
  env: Record<string, string | undefined>;
  /** What systemd wants to be told. */
  notify: NotifyVariables | undefined;
  /** Fires when the process is to stop. */
  stop: AbortSignal;
  /** Called once with the log, so that a signal can have a rotated log file opened again. */
  onLog(openLog: OpenLog): void;
  /** Called once, when all roles run, with what has them take over the files as they are then. */
  onReload(reload: () => void): void;
  /** Called when something that all need has failed: the process is stopping. */
  onFailure(): void;
};

/**
 * Runs one role or several in this process until `stop` fires, then stops them cleanly, in the order intake,
 * scheduler, worker, responder: nothing new comes in, orders are handed over, and only then do challenges
 * stop being answered.
 *
 * @throws ConfigError, or an Error in one line when a role can never work as configured
 */
export async function runRoles(options: RunOptions): Promise<void> {
  const { files, roles, privateRedis, env, stop, notify, onLog, onFailure, onReload } = options;
  const load = () => loadConfig(files, env, roles.every(isReader) ? 'responder' : 'all');
  const config = await load();
  const live = { current: config };
  const opened = await openRolesLog(config.logging);
  const { log } = opened;
  onLog(opened);
  for (const warning of config.warnings) log.warn(warning);

  await using stack = new AsyncDisposableStack();
  const failures: Promise<never>[] = [];
  const manager = stack.use(openServiceManager(notify, { path: env.PATH ?? '', clock: systemClock, log }));
  const [running, notes]: [Role<Config>[], (() => string[])[]] = [[], []];
  manager.follow(() => readReadiness(running, roles.length, notes));
  const place = await findRedis();
  const metrics = openMetrics();
  countLostLines(opened, metrics);
  const anyone = addressFor(roles[0] ?? 'cli', place, config.redis);
  const clock = stack.use(openRolesClock(anyone, metrics, log));
  const storing = openStoring({ clock, log, metrics, pool: Number(env.UV_THREADPOOL_SIZE) || undefined });
  const { room, tooLow } = shareDescriptors(findDescriptorLimit(), needsOf(roles, config));
  if (tooLow !== undefined) log.warn(tooLow);
  notes.push(opened.notes, clock.notes, storing.faults.notes, () => (tooLow === undefined ? [] : [tooLow]));
  const admin = createAdminApp(running, roles.length, metrics, notes);
  const opening = openListeners(config.admin.listeners, () => http.createServer(admin), log, adminCap);
  stack.use(await opening.catch(atListener('[admin] listener')));

  const looks = toRedisLooks([...roles].reverse(), place, live);
  const isThere = await refuseUnfit(looks, config);
  // What a role does before it knows the time would bear that of this machine.
  const told = clock.untilTold(stop).catch(() => {});
  if (isThere) await Promise.race([told, systemClock.sleep(LONGEST_QUESTION)]);
  for (const look of looks) {
    const { name, redisAddress } = look;
    const parts: RoleParts = {
      ...{ redisAddress, clock, metrics, storing, room, log: log.child({ role: name }) },
      async untilRedisFits(signal) {
        await untilRedisFits(look.look, clock, signal);
        await clock.untilTold(signal);
      },
    };
    const role = stack.use(await startRole(name, config, parts));
    running.push(Object.assign(role, { findFault: findFaultBy(role.findFault, look) }));
  }
  const writer = roles.find(name => !isReader(name));
  const following = followFiles({
    ...{ files, names: roles, live, load, roles: running, log, metrics },
    setLevel: opened.setLevel,
    check: async next => void (await refuseUnfit(looks, next)),
    redisAddress: addressFor(writer ?? 'responder', place, config.redis),
    isReader: writer === undefined,
  });
  stack.use(following);
  notes.push(following.notes);
  onReload(() => manager.whileReloading(following.reload));
  const stopped = Promise.withResolvers<void>();
  stop.addEventListener('abort', () => stopped.resolve());
  if (stop.aborted) stopped.resolve();
  await Promise.race([stopped.promise, ...failures, ...running.map(role => role.failed)])
    .catch(error => {
      onFailure();
      throw error;
    })
    .finally(manager.stopping);
  log.info('stopping');

  async function findRedis(): Promise<RedisPlace> {
    const place = findPlace(config.redis);
    if (place) return place;
    if (!privateRedis)
      throw new Error(
        'one role alone needs a Redis that others share: quarry up runs all roles with one of its own; else set ' +
          '[redis] url, sentinel or cluster, or REDIS_URL',
      );
    const own = stack.use(
      await startPrivateRedis(config.redis.dir, { path: env.PATH ?? '', clock: systemClock, log }),
    );
    failures.push(own.failed);
    return { url: own.url };
  }
}

async function openRolesLog({ destination, ...logging }: Config['logging']): Promise<OpenLog> {
  const option = '[logging] destination';
  const syslog = (toGapLine: ToGapLine) => openSyslog(`${option}: syslog`, toGapLine);
  try {
    return await openLog({ ...logging, destination: destination === 'syslog' ? syslog : destination });
  } catch (error) {
    throw atOption(error, option);
  }
}

function needsOf(roles: readonly RoleName[], { worker, verifications }: Config): DescriptorNeeds {
  const answered = [...verifications.values()].flatMap(block =>
    'listeners' in block ? block.listeners : [],
  );
  return {
    concurrency: roles.includes('worker') ? worker.concurrency : 0,
    intake: roles.includes('intake'),
    listeners: roles.includes('responder') ? answered.length : 0,
  };
}

function countLostLines(log: OpenLog, metrics: Registry): void {
  new Counter({
    name: 'quarry_log_lines_dropped_total',
    help: 'Lines of the log that could not be written',
    registers: [metrics],
    collect() {
      this.reset();
      this.inc(log.lost());
    },
  });
}
