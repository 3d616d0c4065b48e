import type { Job } from 'bullmq';

// What who takes the jobs of a queue gets and gives.

/** The lock by which a worker holds a job: BullMQ's token for it, and how often the job has been taken. */
export type JobLock = { jobId: string; token: string; takes?: number };

/** A job in the hands of a worker. */
export type HeldJob<Data> = {
  name: string;
  data: Data;
  lock: JobLock;
  /** Whether its data were made for this job by who knows the secret; true where the queue has no seals. */
  isSealed: boolean;
  /** Milliseconds since the epoch. */
  createdAt: number;
  /** Whether no worker has had it before, not even one that was killed. */
  isNew: boolean;
  priority: number;
  /** No attempt follows this one: an error fails the job for good. */
  lastAttempt: boolean;
};

/** A job after an attempt that failed; `over`: it is not tried again. Damaged `data` is absent. */
export type FailedJob<Data> = {
  /** As it was held. One that is over stays this worker's: nobody takes it again. */
  lock: JobLock;
  name: string;
  data: Data | undefined;
  attempts: number;
  over: boolean;
};

export const toFailedJob = <Data>(
  job: Job<Data>,
  lock: JobLock,
  isData: (value: unknown) => value is Data,
): FailedJob<Data> => ({
  lock,
  name: job.name,
  data: isData(job.data) ? job.data : undefined,
  attempts: job.attemptsMade,
  over: job.finishedOn !== undefined,
});

export type JobSignals = {
  /** The worker is stopping: end between two steps. */
  stopping: AbortSignal;
  /** End at once: the stopping worker waits no longer, or another worker has the job by now. */
  abort: AbortSignal;
};

/**
 * Gives the job back, to be run again at `later`: milliseconds since the epoch, by Redis's clock.
 * `after` is called once it was given back.
 */
export type Later = { later: number; after?: () => Promise<void> };

export type Consumer<Data, Result> = {
  /** How many jobs run at once. */
  concurrency: number;
  /** Whether a job's data is what this queue's jobs have; one whose data is not fails for good. */
  isData(value: unknown): value is Data;
  /** How many milliseconds a job may go on after the worker begins to stop. */
  patience: number;
  /**
   * Does a job. An error counts as a failed attempt, which BullMQ repeats as the job says; while the worker
   * is stopping, it gives the job back instead, as the stop may be the cause.
   */
  run(job: HeldJob<Data>, signals: JobSignals): Promise<Result | Later>;
  /** Called after each failed attempt. */
  failed?(error: Error, job: FailedJob<Data>): void;
};
