import { describeSlow } from './failure-backoff.ts';
import { countedForAll } from './standing-limit.ts';

/** Why an order has to wait, for its client. @param key of the bucket that is short */
export function describeShortage(key: string): string {
  const slow = /^slow\/(.*)$/s.exec(key)?.[1];
  if (slow !== undefined) return describeSlow(slow);
  const share = /^share\/(.*?)(?:@([^/@]*)|\/((?:domain|set)\/[^@/]*@.*))$/s.exec(key);
  if (share) return describeShare(share[1] ?? '', share[3] ?? `account/${share[2]}`);
  const used = `the CA's limit for ${key} is used up; it was not asked`;
  const name = /^name\/(.*?)@/.exec(key)?.[1];
  return name === undefined ? used : `${used} (${countedForAll(name)})`;
}

function describeShare(name: string, key: string): string {
  const whose =
    name === '*' ? 'what the shares of other auth blocks leave' : `the share of auth block ${name}`;
  return `${whose} of the CA's limit for ${key} is used up; it was not asked`;
}
