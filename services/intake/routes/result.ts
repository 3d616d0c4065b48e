import type { RouterContext } from '@koa/router';
import type { Admission } from '../../../shared/admission/admit.ts';
import type { Issuing } from '../../../shared/issue/request-certificate.ts';
import { answerResult, type Clients, stillWorking, toAdmissionRequest, type Waiting } from './sign.ts';

const jobIdPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * `GET /sign/<id>`: the result of a post that was answered with 202. Only clients that the job's own auth
 * block accepts may have it; where that block has an HMAC, the fetch carries one over its path.
 */
export function resultRoute(parts: {
  admission: Pick<Admission, 'possible' | 'verified'>;
  clients: Clients;
  issuing: Pick<Issuing, 'blockOf' | 'result'>;
  waiting: Waiting;
}) {
  const { admission, clients, issuing, waiting } = parts;

  return async (ctx: RouterContext): Promise<void> => {
    const request = toAdmissionRequest(ctx, clients);
    const possible = admission.possible(request);
    const jobId = ctx.params.id ?? '';
    const block = jobIdPattern.test(jobId) ? await issuing.blockOf(jobId) : undefined;
    if (block === undefined) ctx.throw(404, 'no such result');
    const own = possible.filter(({ name }) => name === block);
    if (own.length === 0) ctx.throw(403, 'this result is not for this client');
    await admission.verified(own, request, undefined);
    if ((await answerResult(ctx, jobId, issuing, waiting)) === 'unanswered') throw stillWorking(waiting);
  };
}
