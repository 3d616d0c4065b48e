import { findForeign } from '../../shared/acme-server/validate/address.ts';
import type { Seals } from '../../shared/admission/hmac.ts';
import { atMost } from '../../shared/base/at-most.ts';
import type { Live } from '../../shared/base/live.ts';
import { Counter, type Registry } from '../../shared/base/metrics.ts';
import {
  ACME_QUEUE,
  type AcmeJobData,
  type AcmeResult,
  type AddressJobData,
  isAcmeJobData,
  sealAcmeResult,
} from '../../shared/queue/acme-queue.ts';
import { type HeldJob, openWorker, UnrecoverableError, type WorkerParts } from '../../shared/queue/bullmq.ts';
import type { Trail } from '../../shared/trail/trail.ts';
import { askRenewalInfo, type RenewalInfoParts } from './ask-renewal-info.ts';
import { nextTurn, openTurns } from './proof-turns.ts';
import { type ProveParts, proveName } from './prove-name.ts';

/** They wait for others most of their time. */
const CONCURRENCY = 64;
/** Names of one job that are looked up at once. */
const MOST_LOOK_UPS = 10;

/** What a job for an ACME client needs. */
export type AcmeJobParts = ProveParts & RenewalInfoParts & { trail: Pick<Trail, 'write'> };

/** Takes the jobs for ACME clients. One that is cut off when the worker stops runs again elsewhere. */
export function consumeAcmeJobs(
  live: Live<{ acmeJobs: AcmeJobParts }>,
  { metrics, ...queueParts }: WorkerParts & { seals: Seals; metrics: Registry },
): AsyncDisposable {
  const done = new Counter({
    name: 'quarry_worker_acme_jobs_total',
    help: 'Jobs for ACME clients, by kind: attempts at a proof, looks at addresses, questions for renewal information',
    labelNames: ['kind'],
    registers: [metrics],
  });
  const turns = openTurns();
  return openWorker<AcmeJobData, string>(
    ACME_QUEUE,
    {
      concurrency: CONCURRENCY,
      isData: isAcmeJobData,
      patience: 0,
      async run(job, { abort }) {
        const { acmeJobs: parts } = live.current;
        if (!job.isSealed) await refuse(parts, job);
        using turn = turns.take('block' in job.data ? job.data.block : undefined);
        const now = parts.clock.now();
        if (!turn) return { later: now + nextTurn(now - job.createdAt, Math.random()) };
        const result = await run(parts, job, abort);
        done.inc({ kind: job.data.kind });
        return sealAcmeResult(queueParts.seals, job.lock.jobId, result);
      },
    },
    queueParts,
  );
}

const UNSEALED = 'this job was not made by an intake of this installation';

async function refuse(
  { trail, clock, log }: AcmeJobParts,
  { lock, data }: HeldJob<AcmeJobData>,
): Promise<never> {
  log.warn({ job: lock.jobId, request: data.requestId, reason: UNSEALED }, 'job for an ACME client refused');
  const event = { at: clock.now(), event: 'refused', job: lock.jobId, request: data.requestId } as const;
  await trail.write({ ...event, detail: UNSEALED });
  throw new UnrecoverableError(UNSEALED);
}

async function run(
  parts: AcmeJobParts,
  { data, lastAttempt }: HeldJob<AcmeJobData>,
  signal: AbortSignal,
): Promise<AcmeResult> {
  if (data.kind === 'address') return { outcome: 'addresses', faults: await findFaults(parts, data, signal) };
  if (data.kind === 'renewal-info') {
    await askRenewalInfo(parts, data.fingerprint, signal);
    return { outcome: 'written' };
  }
  const isOver = await proveName(parts, data, lastAttempt, signal);
  if (!isOver) throw new Error('the response is not there yet');
  return { outcome: 'written' };
}

/** Why names do not lead to the client. */
function findFaults(
  { blocks, proof }: AcmeJobParts,
  { block, identifiers, client }: AddressJobData,
  signal: AbortSignal,
): Promise<string[]> {
  const { networks = [] } = blocks.get(block)?.clientProof ?? {};
  const inTurn = atMost(MOST_LOOK_UPS);
  const sight = { resolvers: proof.resolvers, networks, client };
  return Promise.all(identifiers.map(one => inTurn(() => findForeign(one, sight, signal))));
}
