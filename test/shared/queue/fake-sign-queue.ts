import type { Identifier } from '../../../shared/base/identifier.ts';
import { needingRedis } from '../../../shared/base/redis.ts';
import type { SignQueue } from '../../../shared/queue/sign-queue.ts';
import type { SignJobData, SignResult } from '../../../shared/queue/sign-records.ts';
import type { Standing } from '../../../shared/queue/standing.ts';

/** The id of every job of a fake queue. */
export const jobId = '0f8fad5b-d9cb-469f-a165-70867728950e';

/** A queue in memory: `enqueued` and `promised` are what it was given, `results` what its jobs end with. */
export type FakeQueue = SignQueue & {
  enqueued: SignJobData[];
  /** The keys of what may stand against the last of them. */
  against: readonly string[];
  promised: string[];
  results: Map<string, SignResult>;
  blocks: Map<string, string>;
  /** Those that never get a result. */
  failed: Set<string>;
  /** Set to have every call fail. */
  fault: Error | undefined;
  /** How many wait for a result now. */
  waiting: number;
  /** Where jobs stand that have not ended, and what they order. */
  standing: Map<string, Standing>;
  names: Map<string, Identifier[]>;
  /** Wakes who waits for results. */
  finish(): void;
  /** Says that a job has moved. */
  move(id: string): void;
  /** How many listen for moves now. */
  listening(): number;
};

export function openFakeQueue(): FakeQueue {
  const working = () => {
    if (queue.fault) throw queue.fault;
  };
  const finishing = new AbortController();
  const finished = finishing.signal;
  const listeners = new Map<string, Set<() => void>>();
  const queue: FakeQueue = {
    enqueued: [],
    against: [],
    promised: [],
    results: new Map(),
    blocks: new Map(),
    failed: new Set(),
    fault: undefined,
    waiting: 0,
    standing: new Map(),
    names: new Map(),
    finish: () => finishing.abort(),
    move: id => listeners.get(id)?.forEach(tell => void tell()),
    listening: () => [...listeners.values()].reduce((count, { size }) => count + size, 0),
    async enqueue(data, _reserve, against) {
      working();
      queue.against = against?.keys ?? [];
      await needingRedis(async () => against?.refuse());
      queue.enqueued.push(data);
      return jobId;
    },
    async result(id, signal) {
      working();
      const result = queue.results.get(id);
      if (result || signal.aborted) return result;
      queue.waiting++;
      await new Promise(resolve => {
        signal.addEventListener('abort', resolve);
        finished.addEventListener('abort', resolve);
      });
      queue.waiting--;
      return queue.results.get(id);
    },
    async find(id) {
      working();
      const block = queue.blocks.get(id);
      return block === undefined ? undefined : { block, hasFailed: queue.failed.has(id) };
    },
    standings: {
      async read(id) {
        working();
        return queue.standing.get(id);
      },
      listen(id, onMove) {
        const ofJob = listeners.get(id) ?? new Set();
        listeners.set(id, ofJob.add(onMove));
        return { [Symbol.dispose]: () => void ofJob.delete(onMove) };
      },
      async namesOf(id) {
        working();
        return queue.names.get(id);
      },
    },
    async promise(id) {
      working();
      queue.promised.push(id);
    },
    async [Symbol.asyncDispose]() {},
  };
  return queue;
}
