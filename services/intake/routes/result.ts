import type { RouterContext } from '@koa/router';
import type { Admission, AdmittingBlock } from '../../../shared/admission/admit.ts';
import { deny } from '../../../shared/admission/refusal.ts';
import { toHandedOut } from '../../../shared/issue/hand-out.ts';
import type { IssuedCertificate, Issuing } from '../../../shared/issue/request-certificate.ts';
import { readCertificate } from '../../../shared/pki/certificate.ts';
import type { Trail } from '../../../shared/trail/trail.ts';
import { stillWorking } from './come-back.ts';
import { answerEvents, wantsEvents } from './event-stream.ts';
import { answerResult, type Clients, toAdmissionRequest, type Waiting } from './sign.ts';

const jobIdPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const NOT_YOURS = 'this result is not for this client';

/**
 * `GET /sign/<id>`: the result of a post that was answered with 202. Only clients that the job's own auth
 * block accepts may have it; where that block has an HMAC, the fetch carries one over its path.
 */
export function resultRoute(parts: {
  admission: Pick<Admission, 'possible' | 'verified'>;
  clients: Clients;
  issuing: Pick<Issuing, 'find' | 'result' | 'progress' | 'listen' | 'namesOf'>;
  trail: Pick<Trail, 'write'>;
  waiting: Waiting;
}) {
  const { admission, clients, issuing, trail, waiting } = parts;

  return async (ctx: RouterContext): Promise<void> => {
    const request = toAdmissionRequest(ctx, clients);
    const possible = admission.possible(request);
    const jobId = ctx.params.id ?? '';
    const found = jobIdPattern.test(jobId) ? await issuing.find(jobId) : undefined;
    if (!found || found.hasFailed) ctx.throw(404, 'no such result');
    const { block } = found;
    const own = possible.filter(({ name }) => name === block);
    if (own.length === 0) ctx.throw(403, NOT_YOURS);
    const blocks = await admission.verified(own, request, undefined);
    ctx.state.blocks = blocks;
    const [admitting] = blocks;
    const results = admitting?.narrowed ? onlyFor(admitting, issuing, jobId) : issuing;
    const { client, requestId } = ctx.state;
    const asker = { block, by: admitting?.by ?? '', client, requestId, job: jobId };
    const handOut = (certificate: IssuedCertificate) =>
      trail.write(toHandedOut(certificate, asker, waiting.clock.now()));
    const job = { id: jobId, block };
    if (wantsEvents(ctx)) {
      const { listen } = issuing;
      return answerEvents(ctx, job, { issuing: { ...results, listen }, waiting, handOut });
    }
    const answered = await answerResult(ctx, job, results, waiting);
    if (answered === 'unanswered') throw stillWorking(waiting);
    if (answered === 'accepted') return;
    const account = ctx.response.get('X-Quarry-Account') || undefined;
    await handOut({ chain: String(ctx.body), account });
  };
}

/**
 * The results, and what is going on before, for a client that may not have all names of its block. One with a
 * one-time token may have those of its own job alone, and hear why a job failed, as that has let the token
 * go.
 */
function onlyFor(
  { mayHave, once }: AdmittingBlock,
  { result, progress, namesOf }: Pick<Issuing, 'result' | 'progress' | 'namesOf'>,
  ownJob: string,
): Pick<Issuing, 'result' | 'progress'> {
  if (once?.used && once.used.job !== ownJob) deny(NOT_YOURS);
  const isBound = once === undefined || once.used !== undefined;
  return {
    async result(jobId, signal) {
      const certificate = await result(jobId, signal);
      if (!certificate) return undefined;
      const isTheirs = isBound && readCertificate(certificate.chain).identifiers.every(mayHave);
      return isTheirs ? certificate : deny(NOT_YOURS);
    },
    async progress(jobId, ...asked) {
      const names = isBound ? await namesOf(jobId) : undefined;
      return names?.every(mayHave) ? progress(jobId, ...asked) : undefined;
    },
  };
}
