import type { Context } from 'koa';
import type { Admission } from '../../../shared/admission/admit.ts';
import type { Issuing } from '../../../shared/issue/request-certificate.ts';
import { parseCsr, readCsr } from '../../../shared/pki/csr.ts';
import {
  answerCertificate,
  answerResult,
  readBody,
  stillWorking,
  toAdmissionRequest,
  type Waiting,
} from '../request.ts';

/**
 * `POST /sign`: a CSR comes in, a certificate goes out. The order of the checks is a contract (README, status
 * codes).
 */
export function signRoute(parts: {
  admission: Admission;
  isTrustedProxy: (address: string) => boolean;
  /** Bytes. */
  maxSize: number;
  issuing: Issuing;
  waiting: Waiting;
}) {
  const { admission, isTrustedProxy, maxSize, issuing, waiting } = parts;
  const patience = waiting.wait * 1000;

  return async (ctx: Context): Promise<void> => {
    const request = toAdmissionRequest(ctx, isTrustedProxy);
    const possible = admission.possible(request);
    const body = await readBody(ctx, maxSize);
    const blocks = admission.verified(possible, request, body);
    const csr = readCsr(body);

    const stored = await issuing.findStored(blocks, csr);
    if (stored) {
      ctx.state.names = stored.identifiers.map(({ value }) => value);
      return answerCertificate(ctx, stored);
    }

    const { identifiers } = await parseCsr(csr.der);
    ctx.state.names = identifiers.map(({ value }) => value);
    const block = admission.admit(blocks, identifiers);

    const { requestId } = ctx.state;
    const job = await issuing.order(block, csr, identifiers, { requestId, patience });
    const answered = await answerResult(ctx, job.id, issuing, waiting);
    if (answered !== 'finished') await job.promise();
    if (answered === 'unanswered') throw stillWorking(waiting);
  };
}
