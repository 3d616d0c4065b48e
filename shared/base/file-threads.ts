// Files are read and written by the few threads that Node has for the whole process, which also look up
// hosts. A file system that does not answer, as one on the network whose server is gone, holds a thread for
// each call.

/** Node's own number of threads. */
const USUAL_POOL = 4;

/** Milliseconds; a file system that takes longer hangs. */
export const LONGEST_READ = 5_000;
export const LONGEST_WRITE = 10_000;

const HANGS = 'the file system does not answer';
const NO_THREAD = 'other file systems that do not answer hold the threads for files';

/** A file system did not answer in time. */
export class HangingError extends Error {}

type Act<T> = (signal: AbortSignal) => Promise<T>;

/** The way to the files of one directory, which may hang without holding up anything else. */
export type FileGate = {
  /**
   * Runs an act, a few at once. Once one has taken longer than its limit, it and all others fail, and so does
   * every act that comes before it ends.
   *
   * @param act is told by the signal that nobody waits any more: it is to write nothing then
   * @param options.limit milliseconds
   * @param options.isPatient others go first
   * @throws HangingError
   */
  inTime<T>(act: Act<T>, options?: { limit?: number; isPatient?: boolean }): Promise<T>;
  isHanging(): boolean;
};

/** All gates of a process: together they leave threads for others, whatever hangs. */
export type FileThreads = {
  /** One for each directory, however many storages lie there. */
  of(directory: string): FileGate;
};

type Asked = { run: Act<void>; limit: number; fail(error: Error): void; timer: NodeJS.Timeout };

/** The acts at one directory; those of `patient` wait for all others. */
class Acts {
  readonly urgent = new Set<Asked>();
  readonly patient = new Set<Asked>();
  readonly running = new Map<Asked, AbortController>();
  /** How many run that have taken too long. */
  late = 0;

  takeNext(): Asked | undefined {
    for (const waiting of [this.urgent, this.patient])
      for (const asked of waiting) {
        waiting.delete(asked);
        clearTimeout(asked.timer);
        return asked;
      }
    return undefined;
  }

  giveUp(): void {
    const error = new HangingError(HANGS);
    for (let asked = this.takeNext(); asked; asked = this.takeNext()) asked.fail(error);
    for (const [asked, stop] of this.running) {
      asked.fail(error);
      stop.abort(error);
    }
  }
}

/** @param pool how many threads Node has, as UV_THREADPOOL_SIZE says when it starts */
export function openFileThreads(pool = USUAL_POOL): FileThreads {
  const most = Math.max(1, pool - Math.ceil(pool / 4));
  const mostEach = Math.max(1, Math.floor(most / 4));
  const all = new Map<string, Acts>();
  let running = 0;
  let late = 0;

  /** Where much hangs already, each has one thread to find out whether it does, too. */
  function mayRun(acts: Acts): boolean {
    const each = 2 * late < most ? mostEach : 1;
    return running < most && acts.running.size < each;
  }

  function startWaiting() {
    for (const [directory, acts] of all) {
      const next = mayRun(acts) ? acts.takeNext() : undefined;
      if (!next) continue;
      all.delete(directory);
      all.set(directory, acts); // its turn comes again after the others'
      void run(acts, next);
    }
  }

  async function run(acts: Acts, asked: Asked): Promise<void> {
    const stop = new AbortController();
    running++;
    acts.running.set(asked, stop);
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      late++;
      acts.late++;
      acts.giveUp();
    }, asked.limit);
    await asked.run(stop.signal);
    clearTimeout(timer);
    running--;
    acts.running.delete(asked);
    if (isLate) {
      late--;
      acts.late--;
    }
    startWaiting();
  }

  function ask<T>(acts: Acts, act: Act<T>, limit: number, isPatient: boolean): Promise<T> {
    return new Promise((resolve, fail) => {
      if (acts.late > 0) return fail(new HangingError(HANGS));
      const waiting = isPatient ? acts.patient : acts.urgent;
      const giveUp = () => {
        waiting.delete(asked);
        fail(new HangingError(NO_THREAD));
      };
      const run: Act<void> = signal => act(signal).then(resolve, fail);
      const asked: Asked = { run, limit, fail, timer: setTimeout(giveUp, limit) };
      waiting.add(asked);
      startWaiting();
    });
  }

  return {
    of(directory) {
      const acts = all.get(directory) ?? new Acts();
      all.set(directory, acts);
      return {
        inTime: (act, { limit = LONGEST_READ, isPatient = false } = {}) => ask(acts, act, limit, isPatient),
        isHanging: () => acts.late > 0,
      };
    },
  };
}
