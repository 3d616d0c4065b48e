import { hash } from 'node:crypto';
import type { Job } from 'bullmq';
import type { ClientChallenge } from '../admission/client-proof.ts';
import { fromSealed, type Seals, toSealed } from '../admission/hmac.ts';
import type { Clock, Log } from '../base/basics.ts';
import { IssuanceError } from '../base/errors.ts';
import type { Identifier } from '../base/identifier.ts';
import {
  either,
  isNumber,
  isText,
  listOf,
  needingRedis,
  oneOf,
  parseValue,
  type Store,
  shapeOf,
} from '../base/redis.ts';
import { isJobIdOf, newJobId, openQueue, sealData } from './bullmq.ts';
import { pollResult } from './poll-result.ts';
import { openTellUnsealed, type TellUnsealed } from './tell-unsealed.ts';

/** Not `acme`, under which the records of the ACME server are. */
export const ACME_QUEUE = 'acme-jobs';

/**
 * What ACME clients wait for, and what takes a look at the world that no intake takes. A client that asks for
 * the same again joins the job that is there.
 */
export type AcmeJobData = ProofJobData | AddressJobData | RenewalInfoJobData;

/** To look for the response to a challenge of a client's own order. */
export type ProofJobData = {
  kind: 'proof';
  /** The auth block that has admitted the order. */
  block: string;
  /** Of Quarry's own, as are the places of the authorization and its challenge in it. */
  order: string;
  authorization: number;
  challenge: ClientChallenge;
  /** Of the key of the client's account, as it was when the client said that the response is there. */
  thumbprint: string;
  requestId: string;
};

/** To look whether names lead to the client that asks for them. */
export type AddressJobData = {
  kind: 'address';
  /** The auth block that admits the client. */
  block: string;
  identifiers: Identifier[];
  /** The client's address, as `plainAddress` gives it. */
  client: string;
  requestId: string;
};

/** To ask the CA when to renew a client's certificate. */
type RenewalInfoJobData = { kind: 'renewal-info'; fingerprint: string; requestId: string };

/**
 * How a job ended. What a look at a challenge has found is written into the order itself, and what a CA has
 * said of a certificate is kept for all intakes.
 */
export type AcmeResult = { outcome: 'written' } | AddressResult;

/** `faults`: of each identifier, in their order, why it does not lead to the client; '' where it does. */
type AddressResult = { outcome: 'addresses'; faults: string[] };

const isIdentifier = shapeOf<Identifier>({ type: oneOf('dns', 'ip'), value: isText });

export const isAcmeJobData: (value: unknown) => value is AcmeJobData = either(
  shapeOf<ProofJobData>({
    ...{ kind: oneOf('proof'), block: isText, order: isText, authorization: isNumber },
    ...{ challenge: oneOf('http-01', 'dns-01', 'tls-alpn-01'), thumbprint: isText, requestId: isText },
  }),
  either(
    shapeOf<AddressJobData>({
      ...{ kind: oneOf('address'), block: isText, identifiers: listOf(isIdentifier) },
      ...{ client: isText, requestId: isText },
    }),
    shapeOf<RenewalInfoJobData>({
      ...{ kind: oneOf('renewal-info'), fingerprint: isText, requestId: isText },
    }),
  ),
);

const isAcmeResult: (value: unknown) => value is AcmeResult = either(
  shapeOf<Extract<AcmeResult, { outcome: 'written' }>>({ outcome: oneOf('written') }),
  shapeOf<AddressResult>({ outcome: oneOf('addresses'), faults: listOf(isText) }),
);

/** The intake's side of the `acme` queue. */
export type AcmeQueue = AsyncDisposable & {
  /**
   * Enqueues a job, or joins the one that does the same.
   *
   * @param attempts how often a job is tried whose run throws
   * @returns the job's id
   * @throws IssuanceError `unavailable` when Redis cannot be reached
   */
  enqueue(data: AcmeJobData, attempts?: number): Promise<string>;
  /**
   * The job's result; `undefined` when the signal fires first.
   *
   * @throws IssuanceError `unavailable` when Redis cannot be reached, or has lost the job, or no worker can
   *   do it
   */
  result(jobId: string, signal: AbortSignal): Promise<AcmeResult | undefined>;
};

/** A job whose run throws comes again after 1, 2, 4, … seconds. */
const BACKOFF = { type: 'exponential', delay: 1_000 };
const ATTEMPTS = 2;
const RESULT_KEPT = { age: 300 };
const FAILED_JOBS_KEPT = { age: 3_600, count: 1_000 };

/** Equal for jobs that may be one. */
function whatOf({ requestId: _, ...what }: AcmeJobData): string {
  return hash('sha256', JSON.stringify(what));
}

/** @param store an impatient connection, kept open by the caller */
export function openAcmeQueue(parts: { store: Store; seals: Seals; clock: Clock; log: Log }): AcmeQueue {
  const { store, seals, clock } = parts;
  const queue = openQueue<AcmeJobData, string>(ACME_QUEUE, parts);
  const tellUnsealed = openTellUnsealed(parts);

  async function add(
    data: AcmeJobData,
    { what, attempts }: { what: string; attempts: number },
    deduplication?: { id: string },
  ): Promise<string> {
    const own = newJobId(seals, what);
    const job = await queue.add(data.kind, sealData(seals, ACME_QUEUE, own, data), {
      jobId: own,
      ...(deduplication && { deduplication }),
      ...{ attempts, backoff: BACKOFF },
      removeOnComplete: RESULT_KEPT,
      removeOnFail: FAILED_JOBS_KEPT,
    });
    return job.id ?? '';
  }

  return {
    enqueue: (data, attempts = ATTEMPTS) =>
      needingRedis(async () => {
        const what = whatOf(data);
        const id = await add(data, { what, attempts }, { id: what });
        return isJobIdOf(seals, id, what) ? id : add(data, { what, attempts });
      }),
    result(jobId, signal) {
      const seen = { prefix: store.prefix, seals, tellUnsealed };
      const look = async () => readResult(await needingRedis(() => queue.getJob(jobId)), seen);
      return pollResult(look, clock, signal);
    },
    [Symbol.asyncDispose]: () => queue.close(),
  };
}

const resultOf = (jobId: string) => `${ACME_QUEUE} result ${jobId}`;

/** What a worker ends a job with. */
export const sealAcmeResult = (seals: Seals, jobId: string, result: AcmeResult): string =>
  toSealed(seals, resultOf(jobId), JSON.stringify(result));

function readResult(
  job: Job<AcmeJobData, string> | undefined,
  { prefix, seals, tellUnsealed }: { prefix: string; seals: Seals; tellUnsealed: TellUnsealed },
): AcmeResult | undefined {
  const { id = '', finishedOn, returnvalue: sealed } = job ?? {};
  if (job && finishedOn === undefined) return undefined;
  if (!job || !sealed) throw new IssuanceError('unavailable', 'a worker could not look: try again later');
  const text = fromSealed(seals, resultOf(id), `${sealed}`);
  if (text !== undefined) return parseValue(`${prefix}:${ACME_QUEUE}:${id} returnvalue`, text, isAcmeResult);
  tellUnsealed(id, 'what Redis gave as the result of an ACME job bears no seal of this installation');
  throw new IssuanceError('unavailable', 'the result in Redis bears no seal of this installation: try again');
}
