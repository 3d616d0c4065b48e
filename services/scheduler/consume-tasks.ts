import { describeError } from '../../shared/base/errors.ts';
import type { Live } from '../../shared/base/live.ts';
import {
  type FailedJob,
  type HeldJob,
  type JobSignals,
  type Later,
  openWorker,
  type WorkerParts,
} from '../../shared/queue/bullmq.ts';
import { isTaskData, SCHEDULE_QUEUE, type TaskData } from '../../shared/queue/schedule.ts';
import type { Task } from './tasks.ts';

/** Different tasks may run side by side; a task never runs beside itself. */
const CONCURRENCY = 8;
/**
 * How long a task that is not configured here is left to other schedulers, which may know it: while
 * schedulers are restarted one by one with another configuration, the old ones must not drop what the new
 * ones have planned.
 */
const LEFT_TO_OTHERS = 60_000;
const PAUSE = 2_000;

type Parts = WorkerParts & {
  /** Called after each run of a task. */
  onEnd: (task: string, ok: boolean) => void;
};

/**
 * Runs the tasks of the `schedule` queue, those of the moment. A task that is cut off when the scheduler
 * stops runs again elsewhere.
 */
export function consumeTasks(tasks: Live<readonly Task[]>, parts: Parts): AsyncDisposable {
  const { clock, log, onEnd } = parts;

  async function run(job: HeldJob<TaskData>, { abort }: JobSignals): Promise<Later | undefined> {
    const task = tasks.current.find(({ name }) => name === job.name);
    if (!task) {
      if (clock.now() - job.createdAt < LEFT_TO_OTHERS) return { later: clock.now() + PAUSE };
      log.warn({ task: job.name }, 'a task that is not configured here, dropped');
      return undefined;
    }
    await task.run(abort);
    log.debug({ task: task.name }, 'task done');
    onEnd(task.name, true);
    return undefined;
  }

  function failed(error: Error, { name }: FailedJob<TaskData>) {
    log.error({ task: name, reason: describeError(error) }, 'task failed');
    onEnd(name, false);
  }

  return openWorker<TaskData, undefined>(
    SCHEDULE_QUEUE,
    { concurrency: CONCURRENCY, isData: isTaskData, patience: 0, run, failed },
    parts,
  );
}
