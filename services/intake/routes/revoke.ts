import type { Context } from 'koa';
import type { Admission } from '../../../shared/admission/admit.ts';
import {
  parseRevocationReason,
  REASONS_TEXT,
  type RevocationReason,
  readRevocable,
} from '../../../shared/pki/revocation.ts';
import type { RevokeQueue } from '../../../shared/queue/revoke-queue.ts';
import { fromSignFailure } from '../../../shared/queue/sign-job-data.ts';
import { toAdmissionRequest } from '../admission-request.ts';
import { comeBack, type Waiting, whenGone } from '../answer-result.ts';
import { readBody } from '../middleware/body-limit.ts';

/** A chain may be posted whole. */
const LARGEST_CHAIN = 64 * 1024;

export type RevokeRouteParts = Waiting & {
  admission: Admission;
  revokeQueue: RevokeQueue;
  isTrustedProxy: (address: string) => boolean;
};

/**
 * `POST /revoke`: the certificate of a client that might have it is revoked at the CA, and nobody gets it from storage any
 * more. The checks are those of `POST /sign`, in the same order.
 */
export function revokeRoute(parts: RevokeRouteParts) {
  const { admission, revokeQueue, clock } = parts;

  return async (ctx: Context): Promise<void> => {
    const request = toAdmissionRequest(ctx, parts.isTrustedProxy);
    const possible = admission.possible(request);
    const body = await readBody(ctx, LARGEST_CHAIN, 'certificate');
    const blocks = admission.verified(possible, request, body);
    const reason = readReason(ctx);
    const { pem, names, identifiers, notAfter } = readRevocable(body.toString());
    ctx.state.names = names;
    const block = admission.holder(blocks, identifiers);
    if (notAfter <= clock.now()) ctx.throw(409, 'the certificate has ended; there is nothing to revoke');

    const { requestId } = ctx.state;
    const data = { certificate: pem, names, block: block.name, requestId, ...(reason && { reason }) };
    const jobId = await revokeQueue.enqueue(data);
    ctx.state.job = jobId;
    const patience = [AbortSignal.timeout(parts.wait * 1000), parts.stopping, whenGone(ctx)];
    const result = await revokeQueue.result(jobId, AbortSignal.any(patience));
    if (!result) throw comeBack(parts, 'the certificate is still being revoked', 'post it again');
    if (result.outcome === 'failed') throw fromSignFailure(result.error);
    ctx.type = 'text/plain; charset=utf-8';
    ctx.body = result.already ? 'revoked already\n' : 'revoked\n';
  };
}

/** `?reason=keyCompromise` or its code; none is none. */
function readReason(ctx: Context): RevocationReason | undefined {
  const { reason: text } = ctx.query;
  if (text === undefined) return undefined;
  const reason = typeof text === 'string' ? parseRevocationReason(text) : undefined;
  return reason ?? ctx.throw(400, `reason is one of ${REASONS_TEXT}`);
}
