import { isIPv6 } from 'node:net';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../../shared/base/basics.ts';
import { addressToBytes } from '../../../shared/base/identifier.ts';

/** What to do with a question: answer it, tell it to come again over TCP, or pass it over. */
export type Verdict = 'answer' | 'truncate' | 'drop';

/** So many networks are remembered; an attacker who forges more of them sends little to each. */
const MOST_NETWORKS = 20_000;

/**
 * Response rate limiting: the sender of a UDP datagram may be forged, and an answer to a forged one is an
 * attack on the one that gets it. Beyond so many answers a second to one network (an IPv4 /24, an IPv6 /56),
 * every second question is passed over and the others are told to come over TCP, which real clients do.
 *
 * @param limit answers in a second, and at once; Infinity for no limit
 */
export function openRateLimit(limit: number, clock: Clock): (address: string) => Verdict {
  if (limit === Number.POSITIVE_INFINITY) return () => 'answer';
  const networks = new LRUCache<string, { left: number; at: number; slipped: boolean }>({
    max: MOST_NETWORKS,
  });
  return address => {
    const now = clock.now();
    const name = toNetwork(address);
    const state = networks.get(name) ?? { left: limit, at: now, slipped: false };
    state.left = Math.min(limit, state.left + (Math.max(now - state.at, 0) * limit) / 1_000);
    state.at = now;
    networks.set(name, state);
    if (state.left >= 1) {
      state.left--;
      return 'answer';
    }
    state.slipped = !state.slipped;
    return state.slipped ? 'truncate' : 'drop';
  };
}

function toNetwork(address: string): string {
  if (!isIPv6(address)) return address.slice(0, address.lastIndexOf('.'));
  const [bare = ''] = address.split('%');
  return addressToBytes(bare).toString('latin1', 0, 7);
}
