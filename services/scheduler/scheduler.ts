import { openSeals } from '../../shared/admission/hmac.ts';
import { type Clock, linkSignals } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import { openSecret, requireSameSecret } from '../../shared/base/installation.ts';
import { openLivePart } from '../../shared/base/live.ts';
import type { Store } from '../../shared/base/redis.ts';
import { type Role, type RoleParts, ready, startRole } from '../../shared/base/role.ts';
import { openCas } from '../../shared/ca/open-ca.ts';
import { longestPeriod } from '../../shared/limits/limits-section.ts';
import { openNotices } from '../../shared/queue/notices.ts';
import { openSchedule } from '../../shared/queue/schedule.ts';
import { openSignQueue } from '../../shared/queue/sign-queue.ts';
import { openRenewalIndex } from '../../shared/renewal/renewal-index.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { consumeNotices } from './consume-notices.ts';
import { consumeTasks } from './consume-tasks.ts';
import { readTrailNotes } from './drain-trail.ts';
import { openDrawBack } from './draw-back.ts';
import { openFigures } from './figures.ts';
import { ownSchedule } from './own-schedule.ts';
import { openTasks, type Task } from './tasks.ts';

const TICK = 5_000;

/** The scheduler role: does what comes again and again, once for the whole fleet. */
export function startScheduler(config: Config, parts: RoleParts): Role<Config> {
  const { redisAddress, storing, clock, log, metrics } = parts;
  const { prefix } = config.redis;
  const part = openLivePart<Config, Task[]>(config);
  const [notified, trail] = [{ current: config.notify }, { current: config.trail }];
  const period = { current: periodOf(config) };
  const role = startRole('scheduler', { ...parts, prefix }, async ({ store, stopping, report }) => {
    const secret = await openSecret(config.secretFile, log);
    await requireSameSecret(store, { secret, file: config.secretFile }, clock, stopping);
    using cas = await openCas(config.accounts.values(), store, { clock, log });
    const seals = openSeals(secret);
    await using signQueue = openSignQueue({ store, redisAddress, seals, clock, log });
    await using notices = openNotices(notified, { store, clock, log });
    const usualSchedule = await ownSchedule(store);
    const lasting = { store, seals, cas, signQueue, notices, usualSchedule, storing, clock, log };
    const changed = openWake();
    const tasks = await part.begin(openTasks(lasting, trail, config), changed.wake);
    const onEnd = openFigures(metrics, readCounts(store, clock));
    await using schedule = openSchedule(tasks, { store, clock, log });
    await using _notifier = consumeNotices(notified, { redisAddress, prefix, clock, log, metrics });
    await using _consumer = consumeTasks(tasks, { redisAddress, prefix, clock, log, onEnd });
    await schedule.plan(clock.now());
    report({ ...ready, notes: () => readTrailNotes(config.trail, store, clock) });
    log.info({ tasks: tasks.current.map(({ name }) => name) }, 'scheduler ready');
    const index = openRenewalIndex(store);
    const drawBack = openDrawBack({
      store,
      schedule,
      index,
      longestPeriod: () => period.current,
      clock,
      log,
    });
    let planned = tasks.current;
    while (!stopping.aborted) {
      const wanted = tasks.current;
      drawBack(stopping);
      try {
        if (wanted !== planned) await schedule.plan(clock.now());
        planned = wanted;
        await schedule.enqueueDue(clock.now());
      } catch (error) {
        log.warn({ reason: describeError(error) }, 'due tasks cannot be enqueued yet');
      }
      await changed.sleep(clock, TICK, stopping);
    }
  });
  return Object.assign(role, {
    async prepare(next: Config) {
      const take = await part.prepare(next);
      return () => {
        [notified.current, trail.current] = [next.notify, next.trail];
        period.current = periodOf(next);
        take();
      };
    },
  });
}

const periodOf = ({ accounts }: Config) => longestPeriod([...accounts.values()].map(({ limits }) => limits));

/** A sleep that ends early where there is something to be done at once. */
function openWake() {
  let waking = new AbortController();
  return {
    wake: () => waking.abort(new Error('awake')),
    async sleep(clock: Clock, time: number, stopping: AbortSignal): Promise<void> {
      using either = linkSignals(waking.signal, stopping);
      await clock.sleep(time, either.signal).catch(() => stopping.throwIfAborted());
      waking = new AbortController();
    },
  };
}

/** A scrape does not wait for Redis. */
function readCounts(store: Store, clock: Clock) {
  const index = openRenewalIndex(store);
  return async () => (store.redis.status === 'ready' ? index.counts(clock.now()) : undefined);
}
