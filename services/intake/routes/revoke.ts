import type { Context } from 'koa';
import type { Admission } from '../../../shared/admission/admit.ts';
import { fromSignFailure } from '../../../shared/base/errors.ts';
import {
  parseRevocationReason,
  REASONS_TEXT,
  type RevocationReason,
  readRevocable,
} from '../../../shared/pki/revocation.ts';
import type { RevokeQueue } from '../../../shared/queue/revoke-queue.ts';
import { comeBack } from './come-back.ts';
import { type Clients, patienceOf, readBody, toAdmissionRequest, type Waiting } from './sign.ts';

/** Bytes; a chain may be posted whole. */
const LARGEST_CHAIN = 64 * 1024;

/**
 * `POST /revoke`: the CA revokes the certificate of a client that could get it, and no storage hands it out
 * any more. The checks are those of `POST /sign`, in the same order.
 */
export function revokeRoute(parts: {
  admission: Pick<Admission, 'possible' | 'verified' | 'holder'>;
  clients: Clients;
  revokeQueue: Pick<RevokeQueue, 'enqueue' | 'result'>;
  waiting: Waiting;
}) {
  const { admission, clients, revokeQueue, waiting } = parts;

  return async (ctx: Context): Promise<void> => {
    const request = toAdmissionRequest(ctx, clients);
    const possible = admission.possible(request);
    const body = await readBody(ctx, LARGEST_CHAIN, 'certificate');
    const blocks = await admission.verified(possible, request, body);
    ctx.state.blocks = blocks;
    const reason = readReason(ctx);
    const { pem, names, identifiers, notAfter } = readRevocable(body.toString());
    ctx.state.names = names;
    const block = admission.holder(blocks, identifiers);
    ctx.state.blocks = [block];
    if (block.once) ctx.throw(403, 'a one-time token is for getting a certificate, and revokes none');
    if (notAfter <= waiting.clock.now())
      ctx.throw(409, 'the certificate has expired; there is nothing to revoke');

    const { requestId, client } = ctx.state;
    const accounts = block.accounts.map(({ account }) => account);
    const { name, by, clientNames } = block;
    const admitted = { certificate: pem, names, block: name, by, client, accounts, requestId };
    const data = { ...admitted, ...(clientNames && { clientNames }), ...(reason && { reason }) };
    const jobId = await revokeQueue.enqueue(data);
    ctx.state.job = jobId;
    using patience = patienceOf(ctx, waiting);
    const result = await revokeQueue.result(jobId, patience.signal);
    if (!result) throw comeBack(waiting, 'the certificate is still being revoked', 'post it again');
    if (result.outcome === 'failed') throw fromSignFailure(result.error);
    ctx.type = 'text/plain; charset=utf-8';
    ctx.body = result.outcome === 'revoked' && result.already ? 'revoked already\n' : 'revoked\n';
  };
}

/** `?reason=keyCompromise` or its code; it may be missing. */
function readReason(ctx: Context): RevocationReason | undefined {
  const { reason: text } = ctx.query;
  if (text === undefined) return undefined;
  const reason = typeof text === 'string' ? parseRevocationReason(text) : undefined;
  return reason ?? ctx.throw(400, `reason is one of ${REASONS_TEXT}`);
}
