import type { SectionReader } from '../config/section-reader.ts';
import type { AuthBlockConfig } from './auth-section.ts';

/** What of the account's orders a block may use: `part` in (0, 1], together with all blocks whose share has this name. */
export type OrderShare = { name: string; part: number };

/** Of the blocks that name no share; no block can have this name. */
const REST = '*';

/**
 * Divides the account's orders, so that no block can use up the share of another one: blocks without a share have together
 * what the others leave. Where none has a share, nothing is divided.
 *
 * @param blocks with the sections that they were read from
 * @throws ConfigError when the shares are more than there is, or leave nothing to a block without one
 */
export function divideOrders(
  blocks: { block: Omit<AuthBlockConfig, 'share'>; percent: number | undefined; section: SectionReader }[],
): AuthBlockConfig[] {
  const given = blocks.reduce((sum, { percent = 0 }) => sum + percent, 0);
  const rest = Math.round((100 - given) * 1e6) / 1e6;
  return blocks.map(({ block, percent, section }) => {
    if (given === 0) return block;
    if (rest < 0 && percent !== undefined)
      section.fail(`makes more than 100% with those of the other blocks`, 'share');
    if (rest <= 0 && percent === undefined)
      section.fail('is missing, and the other blocks leave nothing', 'share');
    const share =
      percent === undefined ? { name: REST, part: rest / 100 } : { name: block.name, part: percent / 100 };
    return { ...block, share };
  });
}
