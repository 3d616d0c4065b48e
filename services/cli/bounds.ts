import type { AuthBlockConfig } from '../../shared/admission/auth-section.ts';
import { REST } from '../../shared/admission/order-shares.ts';
import { formatRate } from '../../shared/config/rate.ts';

// How an auth block is bounded, for people.

/** What a block may use of what all blocks share, in the words of its options; empty where all there is. */
export function describeBounds({ share, bounds = {} }: AuthBlockConfig): string[] {
  const { slots, queueMax, rate, blockRate } = bounds;
  return [
    ...(share ? [describeShare(share)] : []),
    ...(slots === undefined ? [] : [`slots ${slots}`]),
    ...(queueMax === undefined ? [] : [`queue-max ${queueMax}`]),
    ...(rate ? [`rate ${formatRate(rate)}`] : []),
    ...(blockRate ? [`block-rate ${formatRate(blockRate)}`] : []),
  ];
}

function describeShare({ name, part }: NonNullable<AuthBlockConfig['share']>): string {
  const percent = `${Number((part * 100).toFixed(4))}%`;
  return name === REST ? `${percent} that the shares leave` : `share ${percent}`;
}
