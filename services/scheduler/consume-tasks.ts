import { describeError } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/log.ts';
import { delayJob, openWorker } from '../../shared/queue/open-worker.ts';
import { SCHEDULE_QUEUE, type ScheduleJob } from '../../shared/queue/schedule.ts';
import type { Task } from './tasks.ts';

/** Different tasks may run side by side; a task never runs beside itself. */
const CONCURRENCY = 8;
const HAND_OVER_DELAY = 100;
/**
 * How long a task that is not configured here is left to others, who may know it: while schedulers are restarted one by one
 * with another configuration, the old ones must not drop what the new ones have planned.
 */
const LEFT_TO_OTHERS = 60_000;
const PAUSE = 2_000;

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

  async function process(
    job: ScheduleJob,
    token = '',
    cancelled = new AbortController().signal,
  ): Promise<void> {
    const task = byName.get(job.name);
    if (!task) {
      if (Date.now() - job.timestamp < LEFT_TO_OTHERS) return delayJob(job, Date.now() + PAUSE, token);
      return log.warn({ task: job.name }, 'a task that is not configured here, dropped');
    }
    try {
      await task.run(AbortSignal.any([stopping.signal, cancelled]));
      log.debug({ task: task.name }, 'task done');
      onEnd(task.name, true);
    } catch (error) {
      if (stopping.signal.aborted && !cancelled.aborted)
        return delayJob(job, Date.now() + HAND_OVER_DELAY, token);
      throw error;
    }
  }

  const { worker, close } = openWorker<ScheduleJob['data'], void>(SCHEDULE_QUEUE, process, {
    ...{ redisUrl, prefix, concurrency: CONCURRENCY, log },
  });
  worker.on('failed', (job, error) => {
    log.error({ task: job?.name, reason: describeError(error) }, 'task failed');
    if (job) onEnd(job.name, false);
  });
  return { [Symbol.asyncDispose]: () => close(stopping, 0) };
}
