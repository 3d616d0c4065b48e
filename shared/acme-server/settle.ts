import { renewalInfoId } from '../acme/renewal-info.ts';
import { fromSignFailure, type Problem, type SignFailure } from '../base/basics.ts';
import { describeLeaf, readCertificate } from '../pki/certificate.ts';
import type { SignResult } from '../queue/sign-records.ts';
import type { ClientCertificate } from './certificates.ts';
import type { Ended, Kept, Order, Orders } from './orders.ts';
import { toAcmeError, toProblem } from './problem.ts';

/**
 * Ends an order with the result of its job: the worker does that once the result is written, and an intake
 * whose client waits does not wait for the worker.
 *
 * @param jobId an order that is not at work in this job stays as it is
 * @returns the order as it is then; `undefined` where it is not there any more
 */
export async function settleOrder(
  orders: Pick<Orders, 'read' | 'end'>,
  { id, jobId, result }: { id: string; jobId: string; result: SignResult },
  known?: Kept,
): Promise<Kept | undefined> {
  let kept = known ?? (await orders.read(id));
  while (kept && isAtWork(kept.order, jobId)) {
    const ended = await orders.end(kept, toEnded(kept.order, result));
    if (ended) return ended;
    kept = await orders.read(id);
  }
  return kept;
}

/** Whether the job is to bring an order's certificate. */
export const isAtWork = ({ status, job }: Order, jobId: string) => status === 'processing' && job === jobId;

/** How an order ends whose job has ended so. */
function toEnded(order: Order, result: SignResult): Ended {
  if (result.outcome === 'failed')
    return { order: { ...order, status: 'invalid', error: toOrderError(result.error) } };
  const certificate = toCertificate(order, result);
  return { order: { ...order, status: 'valid', certificate: certificate.fingerprint }, certificate };
}

function toCertificate(
  { id, account, block }: Order,
  { chain, issuedBy }: Extract<SignResult, { outcome: 'issued' }>,
): ClientCertificate {
  const leaf = readCertificate(chain);
  const { fingerprint, names, der } = describeLeaf(chain, leaf);
  return {
    ...{ fingerprint, renewalId: renewalInfoId(der) ?? '', chain },
    ...{ account, order: id, block },
    ...(issuedBy && { issuedBy }),
    ...{ notBefore: leaf.notBefore, notAfter: leaf.notAfter, names },
  };
}

/** In our words, with what the CA has found of single names. */
function toOrderError(failure: SignFailure): Problem {
  const { detail, ...problem } = toProblem(toAcmeError(fromSignFailure(failure)));
  const subproblems = failure.problem?.subproblems?.map(toSubproblem) ?? [];
  return { ...problem, detail: withoutUrls(detail), ...(subproblems.length > 0 && { subproblems }) };
}

function toSubproblem({ type, detail, identifier }: Problem): Problem {
  return {
    type,
    ...(detail !== undefined && { detail: withoutUrls(detail) }),
    ...(identifier && { identifier }),
  };
}

/** A client has nothing to do with the URLs of the CA. */
const withoutUrls = (text: string) => text.replace(/\bhttps?:\/\/[^\s"'<>]+/gi, '(a page of the CA)');
