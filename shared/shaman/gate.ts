import type { Identifier } from '../base/identifier.ts';
import type { Ca } from '../ca/open-ca.ts';
import { type Claim, mayOrder, type Turn } from '../limits/budget.ts';
import { type Limit, proofOf } from '../limits/limits.ts';
import { rememberFailure } from '../order/remember-failure.ts';
import type { Solver } from '../solver/solver.ts';

/** What stands between a domain and a CA's newOrder, the same as between a worker's jobs and it. */
export type OrderGate = {
  /**
   * Asked before each newOrder.
   *
   * @throws StandingLimitError where the CA is not to be asked now
   */
  before(order: { renews: boolean; turn: Turn | undefined }): Promise<Turn>;
  /**
   * Remembers what a failed step says of the CA's limits. @returns the error, perhaps with a better
   * `retryAfter`
   */
  failed(error: unknown): Promise<unknown>;
  /** Gives back what was kept for a certificate that did not come. */
  gaveUp(): Promise<void>;
  issued(turn: Turn | undefined): Promise<void>;
};

/**
 * Lets the orders of a shaman profile count for a CA's limits. A profile waits in no queue: what has no room
 * now is a failure, and the next run tries again.
 *
 * @param by `claimant`: of this profile's claims on the budget; `solvers`: what proves the names, in the
 *   order of preference; throws where that cannot be run
 */
export function openGate(
  ca: Pick<Ca, 'limits' | 'budget' | 'directory' | 'connection'>,
  identifiers: Identifier[],
  by: { claimant: string; solvers: () => readonly Solver[] },
  onLimit: (limit: Limit) => Promise<void>,
  signal: AbortSignal,
): OrderGate {
  const { limits, budget, connection } = ca;
  const { claimant, solvers } = by;
  const id = `${claimant}/${identifiers.map(({ value }) => value).join(',')}`;
  /** An authenticator of the profile may be called as a verification is. */
  const orderer = () => ({ proof: `${claimant}/${proofOf(identifiers, solvers())}` });
  const claim = (): Claim => {
    const now = connection.clock.now();
    return { id, what: id, rank: now, patience: now };
  };
  return {
    async before(order) {
      const standing = await limits.standingAgainst(identifiers, orderer());
      const permission = await mayOrder(ca, standing, identifiers, order, claim(), signal);
      if (!permission.may) throw permission.limit;
      return permission.turn;
    },
    // With its own authenticators a profile does without Redis, so that an outage of Redis explains nothing.
    failed: error => rememberFailure(ca, identifiers, orderer(), error, false, onLimit),
    gaveUp: () => budget.leave(identifiers, { id }),
    async issued(turn) {
      if (turn !== 'exempt') await budget.spendCertificate(identifiers, { id });
      await limits.recordSuccess(identifiers, orderer());
    },
  };
}
