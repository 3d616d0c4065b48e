import { IssuanceError } from '../base/errors.ts';
import type { Identifier } from '../base/identifier.ts';
import type { Admission, AuthBlock } from './admit.ts';

/**
 * The auth blocks that are left for a CSR whose key or signature only some CAs take: those with an account
 * that has `keys = any`, and of their accounts these alone.
 *
 * @param why it is unusual, in a few words
 * @throws IssuanceError `badCsr` where none is left, or only such as do not have the names, which others have
 */
export function blocksForUnusual<Block extends AuthBlock>(
  { find }: Pick<Admission, 'find'>,
  blocks: Block[],
  identifiers: Identifier[],
  why: string,
): Block[] {
  const able = blocks
    .map(block => ({ ...block, accounts: block.accounts.filter(({ anyKey }) => anyKey) }))
    .filter(({ accounts }) => accounts.length > 0);
  const isInTheWay = !find(able, identifiers) && find(blocks, identifiers) !== undefined;
  if (able.length === 0 || isInTheWay) throw new IssuanceError('badCsr', why);
  return able;
}
