import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { Worker } from 'bullmq';
import { tokenOf } from '../../services/worker/spent-token.ts';
import { toSealed } from '../../shared/admission/hmac.ts';
import { systemClock } from '../../shared/base/basics.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import type { Redis } from '../../shared/base/redis.ts';
import { isSealedData } from '../../shared/queue/bullmq.ts';
import { openSignQueue, type SignQueue } from '../../shared/queue/sign-queue.ts';
import {
  openSignRecords,
  SIGN_QUEUE,
  type SignJobData,
  type SignRecords,
  type SignResult,
} from '../../shared/queue/sign-records.ts';
import { quietLog } from '../support/quiet-log.ts';
import { testSeals } from '../support/test-seals.ts';
import { waitUntil } from '../support/wait-until.ts';

/** A result as its worker writes it. */
export const sealedResult = (jobId: string, text: string) =>
  toSealed(testSeals, `${SIGN_QUEUE} result ${jobId}`, text);

// The two sides of the sign queue, each with connections of its own, as in two processes.

export const chain = 'a chain';

export const signJob = (csr = `CSR ${randomUUID()}`): SignJobData => ({
  csr,
  identifiers: [{ type: 'dns', value: 'a.example' }],
  accounts: [{ account: 'account' }],
  solvers: ['http'],
  storage: 'kept',
  block: 'mail',
  requestId: randomUUID(),
});

/** What an intake process has once it is ready, where it is no outage that this one is busy. */
export async function openReadyIntakeSide(redisUrl: string, prefix: string) {
  const intake = openIntakeSide(redisUrl, prefix);
  await waitUntil('the queue to reach Redis', () => intake.redis.status === 'ready');
  delete intake.redis.options.commandTimeout;
  return intake;
}

/** What an intake process has, whether it reaches Redis or not. */
export function openIntakeSide(
  redisUrl: string,
  prefix: string,
): AsyncDisposable & { queue: SignQueue; redis: Redis } {
  const redis = openRedis({ url: redisUrl }, 'impatient', quietLog);
  const queue = openSignQueue({
    store: { redis, prefix },
    redisAddress: { url: redisUrl },
    seals: testSeals,
    clock: systemClock,
    log: quietLog,
  });
  return {
    ...{ queue, redis },
    async [Symbol.asyncDispose]() {
      await queue[Symbol.asyncDispose]();
      closeRedis(redis);
    },
  };
}

const flightOf = ({ identifiers }: SignJobData) => ({ account: 'account', identifiers });

export type WorkerSide = AsyncDisposable & {
  records: SignRecords;
  /** The jobs that were begun. */
  begun: { jobId: string; data: SignJobData }[];
};

/** What a worker process has; a job ends with the result that `work` gives, once `work` resolves. */
export function openWorkerSide(
  redisUrl: string,
  prefix: string,
  work: (data: SignJobData) => Promise<SignResult> | SignResult = ({ block }) => ({
    outcome: 'issued',
    block,
    chain,
  }),
  recordsFor: (data: SignJobData, all: SignRecords) => Pick<SignRecords, 'writeResult'> = (_, all) => all,
): WorkerSide {
  const [redis, connection] = [
    openRedis({ url: redisUrl }, 'patient', quietLog),
    openRedis({ url: redisUrl }, 'patient', quietLog),
  ];
  const records = openSignRecords({ redis, prefix }, testSeals);
  const begun: WorkerSide['begun'] = [];
  const worker = new Worker<SignJobData, string>(
    SIGN_QUEUE,
    async ({ id: jobId = '', data: sealed }, token = '') => {
      assert.ok(isSealedData(testSeals, SIGN_QUEUE, jobId, sealed));
      const { seal: _, ...data } = sealed as SignJobData & { seal: string };
      begun.push({ jobId, data });
      const result = await work(data);
      const over = result.outcome === 'failed' ? tokenOf(records, data) : [];
      return recordsFor(data, records).writeResult({ jobId, token }, result, flightOf(data), over);
    },
    { connection, prefix, concurrency: 10 },
  );
  worker.on('error', () => {}); // Redis goes away in some tests
  return {
    records,
    begun,
    async [Symbol.asyncDispose]() {
      await worker.close(true);
      for (const one of [redis, connection]) closeRedis(one);
    },
  };
}
