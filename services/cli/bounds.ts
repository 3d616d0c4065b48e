import type { AuthBlockConfig } from '../../shared/admission/auth-section.ts';
import { REST } from '../../shared/admission/order-shares.ts';
import { describeSection } from '../../shared/config/config-error.ts';
import { formatRate } from '../../shared/config/rate.ts';
import type { Config } from '../../shared/setup/load-config.ts';

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

/** Of each block whose `slots` keep back none of its orders where a single worker runs, a line. */
export function describeIdleSlots({ auth, worker }: Pick<Config, 'auth' | 'worker'>): string[] {
  return auth.flatMap(({ name, bounds }) => {
    const { slots } = bounds ?? {};
    if (slots === undefined || slots < worker.concurrency) return [];
    const section = describeSection({ name: 'auth', label: name });
    const most = `[worker] concurrency is ${worker.concurrency}`;
    return [`${section}: slots = ${slots} bounds nothing where one worker runs, as ${most}`];
  });
}
