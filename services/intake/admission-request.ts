import type { Context } from 'koa';
import type { AdmissionRequest } from '../../shared/admission/methods.ts';
import { clientAddress, parseHmacHeader } from '../../shared/admission/methods.ts';

/** What admission asks of a request; the client's address goes to the log as well. */
export function toAdmissionRequest(
  ctx: Context,
  isTrustedProxy: (address: string) => boolean,
): AdmissionRequest {
  const forwardedFor = ctx.get('X-Forwarded-For') || undefined;
  const clientIp = clientAddress(ctx.req.socket.remoteAddress ?? '', forwardedFor, isTrustedProxy);
  ctx.state.client = clientIp;
  const { authentication, authorization } = ctx.req.headers as Record<string, string | undefined>;
  return { clientIp, claim: parseHmacHeader({ authentication, authorization }) };
}
