import type { Context } from 'koa';
import { type SealedBinding, toAccountBinding } from '../../../shared/acme-server/account-binding.ts';
import type { Account } from '../../../shared/acme-server/accounts.ts';
import type { AdmissionRequest } from '../../../shared/admission/methods.ts';
import { type Clients, toAdmissionRequest } from '../routes/sign.ts';

/**
 * What admission asks of a request of an ACME client: its address and certificate as `POST /sign` sees them,
 * and the binding of its account. Headers vouch for nothing, as the request's signature does not cover them.
 */
export function toAcmeRequest(
  ctx: Context,
  clients: Clients,
  { binding }: { binding?: SealedBinding | undefined },
): AdmissionRequest {
  const { clientIp, method, target, certificate } = toAdmissionRequest(ctx, clients);
  return {
    ...{ clientIp, method, target, claim: undefined },
    ...(certificate && { certificate }),
    binding: binding && toAccountBinding(binding),
  };
}

/** The log, the trail and the inventory name the account beside what a block knows of its client. */
export const nameAccount = ({ id }: Pick<Account, 'id'>) => `client account ${id}`;
