/**
 * `seconds` is from the first task's start to the last one's end, `latencies` of each task in milliseconds.
 */
export type ClientsReport = { seconds: number; latencies: number[] };

/**
 * Works through the tasks with so many clients at once, each of which takes the next as soon as it is done
 * with one.
 */
export async function runClients(
  clients: number,
  tasks: readonly (() => Promise<unknown>)[],
  limitMs: number,
): Promise<ClientsReport> {
  const latencies: number[] = [];
  const left = [...tasks];
  const startedAt = performance.now();
  const client = async () => {
    for (let task = left.shift(); task; task = left.shift()) {
      const taskStartedAt = performance.now();
      try {
        await inTime(task(), limitMs);
      } catch (error) {
        left.length = 0; // The others need not go on for a run that has failed.
        throw error;
      }
      latencies.push(performance.now() - taskStartedAt);
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: clients }, client));
  const failure = ends.find(end => end.status === 'rejected');
  if (failure) throw failure.reason;
  return { seconds: (performance.now() - startedAt) / 1000, latencies };
}

/** A task took longer than it may. */
export class TooSlowError extends Error {
  override readonly name = 'TooSlowError';
}

/**
 * What is waited for in vain cannot be stopped everywhere (acme-client knows no signals); it is only left
 * alone.
 */
export async function inTime<T>(waitedFor: Promise<T>, limitMs: number): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new TooSlowError(`not done within ${limitMs / 1000} s`)),
    limitMs,
  );
  try {
    return await Promise.race([waitedFor, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
