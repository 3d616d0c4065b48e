import type { SectionReader } from '../config/section-reader.ts';
import type { AuthBlockConfig } from './auth-section.ts';

/** Of the blocks that name no share; no block can have this name. */
export const REST = '*';

type Read = { block: Omit<AuthBlockConfig, 'share'>; percent: number | undefined; section: SectionReader };

/**
 * Divides the accounts' orders, so that no block can use up the share of another one. Blocks without a share
 * have together what the others leave, and of several accounts what they leave of the scarcest. Where no
 * block that orders from the same accounts has a share, nothing is divided.
 *
 * @param blocks with the sections that they were read from
 * @throws ConfigError when the shares are more than there is, or leave nothing to a block without one
 */
export function divideOrders(blocks: Read[]): AuthBlockConfig[] {
  const given = givenOfAccounts(blocks);
  return blocks.map(({ block, percent, section }) => {
    const most = Math.max(...block.accounts.map(({ account }) => given.get(account) ?? 0));
    if (most === 0) return block;
    const rest = Math.round((100 - most) * 1e6) / 1e6;
    if (rest < 0 && percent !== undefined)
      section.fail(`makes more than 100% with those of the other blocks`, 'share');
    if (rest <= 0 && percent === undefined)
      section.fail('is missing, and the other blocks leave nothing', 'share');
    const share =
      percent === undefined ? { name: REST, part: rest / 100 } : { name: block.name, part: percent / 100 };
    return { ...block, share };
  });
}

/** What all blocks together say is theirs of each account, in percent. */
function givenOfAccounts(blocks: Read[]): Map<string, number> {
  const given = new Map<string, number>();
  for (const { block, percent = 0 } of blocks) {
    for (const { account } of block.accounts) given.set(account, (given.get(account) ?? 0) + percent);
  }
  return given;
}
