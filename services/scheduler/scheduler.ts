import { openSeals } from '../../shared/admission/hmac.ts';
import { type Clock, describeError } from '../../shared/base/basics.ts';
import { openSecret, requireSameSecret } from '../../shared/base/installation.ts';
import type { Store } from '../../shared/base/redis.ts';
import { type Role, type RoleParts, ready, startRole } from '../../shared/base/role.ts';
import { openCas } from '../../shared/ca/open-ca.ts';
import { openNotices } from '../../shared/queue/notices.ts';
import { openSchedule } from '../../shared/queue/schedule.ts';
import { openSignQueue } from '../../shared/queue/sign-queue.ts';
import { openRenewalIndex } from '../../shared/renewal/renewal-index.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { consumeNotices } from './consume-notices.ts';
import { consumeTasks } from './consume-tasks.ts';
import { readTrailNotes } from './drain-trail.ts';
import { openFigures } from './figures.ts';
import { openTasks } from './tasks.ts';

const TICK = 5_000;

/** The scheduler role: does what comes again and again, once for the whole fleet. */
export function startScheduler(config: Config, parts: RoleParts): Role {
  const { redisAddress, clock, log, metrics } = parts;
  const { prefix } = config.redis;
  return startRole('scheduler', { ...parts, prefix }, async ({ store, stopping, report }) => {
    const secret = await openSecret(config.secretFile, log);
    await requireSameSecret(store, { secret, file: config.secretFile }, clock, stopping);
    using cas = await openCas(config.accounts.values(), store, { clock, log });
    const seals = openSeals(secret);
    await using signQueue = openSignQueue({ store, redisAddress, seals, clock, log });
    await using notices = openNotices(config.notify, { store, clock, log });
    const tasks = await openTasks(config, { ...parts, store, seals, cas, signQueue, notices });
    const onEnd = openFigures(metrics, readCounts(store, clock));
    await using schedule = openSchedule(tasks, { store, log });
    await using _notifier = consumeNotices(config.notify, { redisAddress, prefix, clock, log, metrics });
    await using _consumer = consumeTasks(tasks, { redisAddress, prefix, log, onEnd });
    await schedule.plan(clock.now());
    report({ ...ready, notes: () => readTrailNotes(config.trail, store, clock) });
    log.info({ tasks: tasks.map(({ name }) => name) }, 'scheduler ready');
    while (!stopping.aborted) {
      await schedule.enqueueDue(clock.now()).catch(error => {
        log.warn({ reason: describeError(error) }, 'due tasks cannot be enqueued yet');
      });
      await clock.sleep(TICK, stopping);
    }
  });
}

/** A scrape does not wait for Redis. */
function readCounts(store: Store, clock: Clock) {
  const index = openRenewalIndex(store);
  return async () => (store.redis.status === 'ready' ? index.counts(clock.now()) : undefined);
}
