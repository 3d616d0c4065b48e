import type { Clock } from '../../shared/base/clock.ts';
import { IssuanceError } from '../../shared/base/errors.ts';
import type { Budget } from '../../shared/limits/budget.ts';
import type { LimitedOrder } from '../../shared/limits/limited-order.ts';
import { type Limits, StandingLimitError } from '../../shared/limits/limits.ts';
import type { Notices } from '../../shared/queue/notices.ts';
import type { OrderGate } from '../../shared/shaman/run.ts';

/**
 * Lets the orders of a shaman profile count for the same CA's limits as those of the workers. A profile waits in no queue:
 * what has no room now is a failure, and the next run tries again.
 *
 * @param id of this run's claims on the budget
 */
export function openProfileGate(
  id: string,
  {
    limits,
    budget,
    notices,
    clock,
  }: { limits: Limits; budget: Budget; notices: Pick<Notices, 'notify'>; clock: Clock },
): OrderGate {
  /** RFC 9773 section 5: what renews a certificate within its window counts for nothing. */
  const exempt = new Set<string>();
  const claim = (order: LimitedOrder) => ({ id: `${id}/${nameOf(order)}` });
  return {
    async before(order) {
      const standing = await limits.standingAgainst(order);
      if (standing) throw standing;
      if (order.replaces !== undefined) return void exempt.add(nameOf(order));
      const [now, what] = [clock.now(), claim(order).id];
      const short = await budget.takeOrder(order, { ...claim(order), what, rank: now, patience: now });
      if (!short) return;
      const detail = `the CA's limit for ${short.key} is used up; it was not asked`;
      throw new StandingLimitError('rateLimited', detail, { retryAfter: short.until });
    },
    async failed(order, error) {
      await budget.leave(order, claim(order));
      if (!(error instanceof IssuanceError) || error instanceof StandingLimitError) return error;
      if (error.code === 'rateLimited' || (error.code === 'unavailable' && error.retryAfter !== undefined)) {
        for (const { key, until, names, detail } of await limits.park(order, error)) {
          if (until === undefined)
            await notices.notify({ kind: 'account-paused', subject: key, names, detail });
        }
      }
      return error;
    },
    async issued(order) {
      if (!exempt.delete(nameOf(order))) await budget.spendCertificate(order, claim(order));
      await limits.recordSuccess(order);
    },
  };
}

const nameOf = ({ identifiers }: LimitedOrder) => identifiers.map(({ value }) => value).join(',');
