import { readFile } from 'node:fs/promises';
import { openCaConnection } from '../../shared/acme/ca-connection.ts';
import { describeError } from '../../shared/base/errors.ts';
import { closeRedis, openRedis, untilRedisAnswers } from '../../shared/base/redis.ts';
import type { Role, RoleParts } from '../../shared/base/role.ts';
import { USER_AGENT } from '../../shared/base/version.ts';
import { openNotices } from '../../shared/queue/notices.ts';
import { openSchedule } from '../../shared/queue/schedule.ts';
import { openSignQueue } from '../../shared/queue/sign-queue.ts';
import { openRenewalIndex } from '../../shared/renewal/renewal-index.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { consumeNotices } from './consume-notices.ts';
import { consumeTasks } from './consume-tasks.ts';
import { openFigures } from './figures.ts';
import { openTasks } from './tasks.ts';

const TICK = 5_000;
/** While Redis is away. */
const LONGEST_STOP = 3_000;

/** The scheduler role: does what comes again and again, once for the whole fleet. */
export function startScheduler(config: Config, parts: RoleParts): Role {
  const { clock, log, redisUrl, metrics } = parts;
  const stopping = new AbortController();
  const redis = openRedis(redisUrl, 'patient', log);
  const store = { redis, prefix: config.redis.prefix };
  let notReady: string | undefined = 'starting';

  const running = run().catch(error => {
    if (!stopping.signal.aborted) throw error;
  });
  const failed = running.then(() => new Promise<never>(() => {}));
  failed.catch(() => {}); // whoever runs the role may look later

  async function run() {
    await untilRedisAnswers(redis, clock, stopping.signal);
    const ca = config.account.caFile ? [await readFile(config.account.caFile, 'utf8')] : undefined;
    using connection = openCaConnection({
      directoryUrl: config.account.acmeServer,
      userAgent: USER_AGENT,
      clock,
      ca,
    });
    await using signQueue = openSignQueue({ store, redisUrl, log });
    await using notices = openNotices(config.notify, { store, clock, log });
    const tasks = await openTasks(config, { store, connection, signQueue, notices, ca, clock, log });
    const index = openRenewalIndex(store);
    const ended = openFigures(metrics, async () => {
      if (redis.status === 'ready') return index.counts(clock.now());
      return undefined; // a scrape does not wait for Redis
    });
    await using schedule = openSchedule(tasks, { store, log });
    await using _notifier = consumeNotices(config.notify, {
      redisUrl,
      prefix: store.prefix,
      clock,
      log,
      metrics,
    });
    await using _consumer = consumeTasks(tasks, { redisUrl, prefix: store.prefix, log, onEnd: ended });
    await schedule.plan(clock.now());
    notReady = undefined;
    log.info({ tasks: tasks.map(({ name }) => name) }, 'scheduler ready');
    while (!stopping.signal.aborted) {
      await schedule.enqueueDue(clock.now()).catch(error => {
        log.warn({ reason: describeError(error) }, 'due tasks cannot be enqueued yet');
      });
      await clock.sleep(TICK, stopping.signal);
    }
  }

  return {
    name: 'scheduler',
    notReady: () => notReady ?? (redis.status === 'ready' ? undefined : 'Redis cannot be reached'),
    failed,
    async [Symbol.asyncDispose]() {
      stopping.abort(new Error('scheduler is stopping'));
      const ended = running.catch(() => {});
      if (redis.status === 'ready') await ended;
      else {
        closeRedis(redis); // else what waits for Redis would keep the process
        await Promise.race([ended, clock.sleep(LONGEST_STOP)]); // and BullMQ may wait for it without end
      }
      closeRedis(redis);
    },
  };
}
