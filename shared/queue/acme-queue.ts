import type { ClientChallenge } from '../admission/client-proof.ts';
import type { Seals } from '../admission/hmac.ts';
import { IssuanceError } from '../base/errors.ts';
import type { Identifier } from '../base/identifier.ts';
import { either, isNumber, isText, listOf, oneOf, shapeOf } from '../base/redis.ts';
import { type AskedQueue, type AskedQueueParts, openAskedQueue, sealResult } from './asked-queue.ts';

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

/** The intake's side of the queue. */
export type AcmeQueue = AskedQueue<AcmeJobData, AcmeResult>;

export const openAcmeQueue = (parts: AskedQueueParts): AcmeQueue =>
  openAskedQueue(
    {
      queue: ACME_QUEUE,
      nameOf: ({ kind }) => kind,
      whatOf: ({ requestId: _, ...what }) => JSON.stringify(what),
      attempts: 2,
      resultKept: 300,
      failedKept: { age: 3_600, count: 1_000 },
      isResult: isAcmeResult,
      withoutResult() {
        throw new IssuanceError('unavailable', 'a worker could not look: try again later');
      },
      words: { job: 'an ACME job', again: 'try again' },
    },
    parts,
  );

/** What a worker ends a job with. */
export const sealAcmeResult = (seals: Seals, jobId: string, result: AcmeResult): string =>
  sealResult(seals, ACME_QUEUE, jobId, result);
