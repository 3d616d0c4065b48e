import { hash } from 'node:crypto';
import { renewalInfoId } from '../acme/renewal-info.ts';
import { fromSignFailure, type Problem, type SignFailure } from '../base/errors.ts';
import type { ScriptRun } from '../base/run-in-turn.ts';
import { type Certificate, decodePem, describeLeaf, readCertificate } from '../pki/certificate.ts';
import type { SignResult } from '../queue/sign-records.ts';
import type { ClientCertificate } from './certificates.ts';
import type { Ended, Kept, Order, Orders } from './orders.ts';
import { toAcmeError, toProblem } from './problem.ts';

type JobEnd = { id: string; jobId: string; result: SignResult };

/**
 * Writes the result of a job and ends its order in one moment: whoever finds a certificate as the result
 * knows that the order has it. An order that is not at work in this job stays as it is.
 *
 * @param known the order as it was read last
 * @param write writes the result, after scripts if there are some; `undefined` where one of them has refused
 * @returns what `write` does
 */
export async function writeWithEnd<Written>(
  orders: Pick<Orders, 'read' | 'ending'>,
  { id, jobId, result, leaf }: JobEnd & { leaf?: Certificate | undefined },
  known: Kept | undefined,
  write: { alone(): Promise<Written>; after(first: readonly ScriptRun[]): Promise<Written | undefined> },
): Promise<Written> {
  let kept = known ?? (await orders.read(id));
  while (kept && isAtWork(kept.order, jobId)) {
    const ended = toEnded(kept.order, result, leaf);
    const written = await write.after(await orders.ending(kept, ended));
    if (written !== undefined) return written;
    kept = await orders.read(id);
  }
  return write.alone();
}

/**
 * Ends an order with a result of its job that was not written with the order's end.
 *
 * @param jobId an order that is not at work in this job stays as it is
 * @returns the order as it is then; `undefined` where it is not there any more
 */
export async function settleOrder(
  orders: Pick<Orders, 'read' | 'end'>,
  { id, jobId, result }: JobEnd,
): Promise<Kept | undefined> {
  let kept = await orders.read(id);
  while (kept && isAtWork(kept.order, jobId)) {
    const ended = await orders.end(kept, toEnded(kept.order, result));
    if (ended) return ended;
    kept = await orders.read(id);
  }
  return kept;
}

/** An order whose job has brought this chain. */
export const toValid = (order: Order, chain: string): Order => ({
  ...order,
  status: 'valid',
  certificate: hash('sha256', decodePem(chain, ['CERTIFICATE'])),
});

/** Whether the job is to bring an order's certificate. */
export const isAtWork = ({ status, job }: Order, jobId: string) => status === 'processing' && job === jobId;

/** How an order ends whose job has ended so. */
function toEnded(order: Order, result: SignResult, leaf?: Certificate): Ended {
  if (result.outcome === 'failed')
    return { order: { ...order, status: 'invalid', error: toOrderError(result.error) } };
  const certificate = toCertificate(order, result, leaf ?? readCertificate(result.chain));
  return { order: { ...order, status: 'valid', certificate: certificate.fingerprint }, certificate };
}

function toCertificate(
  { id, account, block }: Order,
  { chain, issuedBy }: Extract<SignResult, { outcome: 'issued' }>,
  leaf: Certificate,
): ClientCertificate {
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
