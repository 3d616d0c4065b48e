import { openBuckets } from '../admission/buckets.ts';
import type { Clock } from '../base/basics.ts';
import { toHost } from '../base/host.ts';
import { needingRedis, type Store } from '../base/redis.ts';
import type { Rate } from '../config/rate.ts';
import { AcmeError } from './problem.ts';

/** A key may be that of many hosts. */
const HOSTS_OF_KEY = 10;

/**
 * Counts accounts that are to be made, and bindings that were refused, of each client host (with IPv6, of
 * each network of 64 bits); and of each key id the accounts, of which there may be ten times as many. Who has
 * used that up reads the same whether a binding is good or not, so it does not help to guess.
 *
 * @param rate `undefined` where nothing is to be counted
 */
export function openNewAccountRate(store: Store, rate: Rate | undefined, clock: Pick<Clock, 'now'>) {
  const buckets = openBuckets(store);

  /** @param kid of a binding that is good @throws AcmeError `rateLimited` */
  return async (client: string, kid?: string): Promise<void> => {
    if (!rate) return;
    const ofKey = {
      key: `acme:new-accounts:key ${kid}`,
      rate: { ...rate, count: HOSTS_OF_KEY * rate.count },
    };
    const ofHost = { key: `acme:new-accounts:${toHost(client)}`, rate };
    const [wait = 0] = await needingRedis(() =>
      buckets.take([kid === undefined ? [ofHost] : [ofHost, ofKey]]),
    );
    if (wait === 0) return;
    const retryAfter = clock.now() + wait;
    throw new AcmeError('rateLimited', 'too many new accounts of this client: try again later', {
      retryAfter,
    });
  };
}
