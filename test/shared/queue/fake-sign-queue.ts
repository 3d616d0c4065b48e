import type { SignQueue } from '../../../shared/queue/sign-queue.ts';
import type { SignJobData, SignResult } from '../../../shared/queue/sign-records.ts';

/** The id of every job of a fake queue. */
export const jobId = '0f8fad5b-d9cb-469f-a165-70867728950e';

/** A queue in memory: `enqueued` and `promised` are what it was given, `results` what its jobs end with. */
export type FakeQueue = SignQueue & {
  enqueued: SignJobData[];
  promised: string[];
  results: Map<string, SignResult>;
  blocks: Map<string, string>;
  /** Set to have every call fail. */
  fault: Error | undefined;
  /** How many wait for a result now. */
  waiting: number;
};

export function openFakeQueue(): FakeQueue {
  const working = () => {
    if (queue.fault) throw queue.fault;
  };
  const queue: FakeQueue = {
    enqueued: [],
    promised: [],
    results: new Map(),
    blocks: new Map(),
    fault: undefined,
    waiting: 0,
    async enqueue(data) {
      working();
      queue.enqueued.push(data);
      return jobId;
    },
    async result(id, signal) {
      working();
      const result = queue.results.get(id);
      if (result || signal.aborted) return result;
      queue.waiting++;
      await new Promise(resolve => signal.addEventListener('abort', resolve));
      queue.waiting--;
      return undefined;
    },
    async blockOf(id) {
      working();
      return queue.blocks.get(id);
    },
    async promise(id) {
      working();
      queue.promised.push(id);
    },
    async [Symbol.asyncDispose]() {},
  };
  return queue;
}
