import type { Context } from 'koa';
import type { Account } from '../../../shared/acme-server/accounts.ts';
import { AcmeError } from '../../../shared/acme-server/problem.ts';
import type { Admission, AdmittingBlock } from '../../../shared/admission/admit.ts';
import { dropUsed } from '../../../shared/admission/token-method.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { canProve, type Identifier } from '../../../shared/base/identifier.ts';
import type { Clients } from '../routes/sign.ts';
import { nameAccount, toAcmeRequest } from './admit-account.ts';

/**
 * The auth blocks that know an ACME client today, by its address, its certificate and the binding of its
 * account.
 *
 * @param csr what a one-time token may have been used for
 */
export async function blocksOf(
  ctx: Context,
  { admission, clients }: { admission: Admission; clients: Clients },
  account: Account,
  csr: { digest: string } = { digest: '' },
): Promise<AdmittingBlock[]> {
  const request = toAcmeRequest(ctx, clients, account);
  const verified = await admission.verified(admission.possible(request), request, undefined);
  const blocks = verified.map(block => ({ ...block, by: `${block.by}, ${nameAccount(account)}` }));
  ctx.state.blocks = blocks;
  return blocks.some(({ once }) => once) ? dropUsed(blocks, csr) : blocks;
}

/**
 * The block that has all of the names, as admission finds it.
 *
 * @throws AcmeError `rejectedIdentifier` with a subproblem for each name that is refused
 */
export function admitNames(
  ctx: Context,
  admission: Pick<Admission, 'admit' | 'find'>,
  blocks: AdmittingBlock[],
  identifiers: Identifier[],
): AdmittingBlock {
  try {
    const block = admission.admit(blocks, identifiers);
    ctx.state.blocks = [block];
    return block;
  } catch (error) {
    if (!(error instanceof IssuanceError && error.code === 'denied')) throw error;
    const subproblems = findRefused(blocks, admission.find(blocks, identifiers), identifiers).map(
      identifier => ({
        kind: 'rejectedIdentifier' as const,
        detail: `not admitted: ${identifier.value}`,
        identifier,
      }),
    );
    throw new AcmeError('rejectedIdentifier', error.message, {
      cause: error,
      ...(subproblems.length > 0 && { subproblems }),
    });
  }
}

/** Those that no block has; else those that the one which has all of them cannot prove. */
function findRefused(
  blocks: AdmittingBlock[],
  holder: AdmittingBlock | undefined,
  identifiers: Identifier[],
): Identifier[] {
  if (holder) return identifiers.filter(one => !holder.challenges.some(type => canProve(type, one)));
  return identifiers.filter(one => !blocks.some(block => block.mayHave(one)));
}
