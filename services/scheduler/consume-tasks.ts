import { DelayedError, Worker } from 'bullmq';
import { describeError } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/log.ts';
import { closeRedis, openRedis } from '../../shared/base/redis.ts';
import { SCHEDULE_QUEUE, type ScheduleJob } from '../../shared/queue/schedule.ts';
import type { Task } from './tasks.ts';

/** Different tasks may run side by side; a task never runs beside itself. */
const CONCURRENCY = 8;
/** A killed scheduler's task runs again elsewhere after at most the sum of the two. */
const LOCK_DURATION = 8_000;
const STALLED_INTERVAL = 4_000;
const MOST_KILLS = 1_000;
const HAND_OVER_DELAY = 100;
const LAST_STEP = 5_000;

/** BullMQ's side of the role: takes tasks, and gives one back that cannot be finished because the scheduler stops. */
export function consumeTasks(
  tasks: readonly Task[],
  {
    redisUrl,
    prefix,
    log,
    onEnd,
  }: { redisUrl: string; prefix: string; log: Log; onEnd: (task: string, ok: boolean) => void },
): AsyncDisposable {
  const stopping = new AbortController();
  const byName = new Map(tasks.map(task => [task.name, task]));

  async function process(job: ScheduleJob, token = '', cancelled = new AbortController().signal): Promise<void> {
    const task = byName.get(job.name);
    if (!task) return log.warn({ task: job.name }, 'a task that is not configured here, dropped');
    try {
      await task.run(AbortSignal.any([stopping.signal, cancelled]));
      log.debug({ task: task.name }, 'task done');
      onEnd(task.name, true);
    } catch (error) {
      if (stopping.signal.aborted && !cancelled.aborted) {
        await job.moveToDelayed(Date.now() + HAND_OVER_DELAY, token); // by BullMQ's clock, which nobody turns
        throw new DelayedError();
      }
      throw error;
    }
  }

  const redis = openRedis(redisUrl, 'patient', log.child({}, { level: 'silent' }));
  const worker = new Worker(SCHEDULE_QUEUE, process, {
    connection: redis,
    prefix,
    concurrency: CONCURRENCY,
    lockDuration: LOCK_DURATION,
    stalledInterval: STALLED_INTERVAL,
    maxStalledCount: MOST_KILLS,
  });
  worker.on('error', error => log.debug({ reason: describeError(error) }, 'schedule worker'));
  worker.on('failed', (job, error) => {
    log.error({ task: job?.name, reason: describeError(error) }, 'task failed');
    if (job) onEnd(job.name, false);
  });
  worker.on('lockRenewalFailed', jobIds => {
    for (const jobId of jobIds) worker.cancelJob(jobId, 'the lock was lost');
  });

  return {
    async [Symbol.asyncDispose]() {
      stopping.abort(new Error('the scheduler is stopping'));
      const handOver = redis.status === 'ready';
      const closed = worker.close(!handOver);
      await Promise.race([closed, new Promise(resolve => setTimeout(resolve, LAST_STEP).unref())]);
      closeRedis(redis);
    },
  };
}
