import type { AdmittingBlock, AuthBlock } from '../admission/admit.ts';
import type { IssuanceError } from '../base/errors.ts';
import type { Identifier } from '../base/identifier.ts';
import type { CsrText, ParsedCsr } from '../pki/csr.ts';
import type { SignQueue } from '../queue/sign-queue.ts';
import type { SignJobData, SignResult } from '../queue/sign-records.ts';
import type { Standings } from '../queue/standing.ts';
import type { Asker } from './hand-out.ts';
import type { Progress } from './progress.ts';

// What a front door has of `openIssuing`.

/** A certificate as a client gets it. */
export type IssuedCertificate = {
  /** PEM, leaf first. */
  chain: string;
  /** The name of the account that ordered it; absent where that is not recorded. */
  account?: string | undefined;
};

/** `unread`: the storage that could not be read, and why: nobody knows whether it has a certificate. */
export type Found = {
  stored?: IssuedCertificate & { identifiers: Identifier[] };
  unread?: { storage: string; fault: IssuanceError };
};

/** A job that orders a certificate; identical requests share one. */
type OrderJob = {
  /** Unguessable. */
  id: string;
  /**
   * To be awaited before the request is answered, with the chain or without: remembers that the client left
   * before the job ended, so that its next identical request gets this job's result.
   */
  answers(chain: string | undefined): Promise<void>;
};

/** An order of an ACME client that a job is for. */
export type ClientOrder = {
  data: Pick<SignJobData, 'accounts' | 'storage' | 'replaces' | 'order' | 'clientAccount'>;
  /** As of `SignQueue.enqueue`. */
  reserve(newId: string): Promise<string>;
};

/** What of a CSR is ordered. */
export type Ordered = Pick<ParsedCsr, 'identifiers' | 'publicKey'>;

/**
 * The way from an admitted request to a certificate, whatever protocol the client speaks: look in storage,
 * else order, then wait for the result. Each call throws IssuanceError `unavailable` when Redis cannot be
 * reached.
 */
export type Issuing = {
  /**
   * A fresh certificate from the storage of the block that would order it, with the names that it was stored
   * with. It is handed out only for names of that block.
   *
   * @throws IssuanceError `denied` where its key is blocked
   */
  findStored(blocks: AdmittingBlock[], csr: CsrText, asker: Asker): Promise<Found>;
  /**
   * Has a certificate ordered for names that `block` admitted.
   *
   * @param request `identifiers` and `publicKey` are the CSR's; `patience` is how long the client waits for
   *   the result, in milliseconds; `client` is its address
   * @param clientOrder the order of an ACME client; no storage is asked for it, and none filled
   * @throws IssuanceError the limit that keeps every account of the block from ordering now; `denied` where
   *   the key is blocked
   */
  order(
    block: AdmittingBlock,
    csr: CsrText,
    request: Ordered & { requestId: string; client: string; patience: number },
    clientOrder?: ClientOrder,
  ): Promise<OrderJob>;
  /** The limit that keeps every account of the block from ordering these names now, whatever the CSR. */
  limitAgainst(block: AuthBlock, identifiers: Identifier[]): Promise<IssuanceError | undefined>;
  /**
   * The certificate of a job that succeeded; `undefined` when the signal fires first, or when Redis has lost
   * the job.
   *
   * @throws IssuanceError with which the job failed, or `denied` where the key is blocked since; a bare Error
   *   where a bug ended it
   */
  result(jobId: string, signal: AbortSignal): Promise<IssuedCertificate | undefined>;
  /** As of `SignQueue`. */
  find: SignQueue['find'];
  /**
   * What is going on with a job; `undefined` where it has ended, or is not known.
   *
   * @param block that admitted it
   * @param isHeard whether `listen` is to be called at its next move
   */
  progress(jobId: string, block: string, isHeard?: boolean): Promise<Progress | undefined>;
  /** As of `Standings`. */
  listen: Standings['listen'];
  namesOf: Standings['namesOf'];
  /** How a job has ended; `undefined` as `result`. */
  end(jobId: string, signal: AbortSignal): Promise<SignResult | undefined>;
};
