import type { Clock } from '../base/basics.ts';
import type { Store } from '../base/redis.ts';
import { openBudget } from '../limits/budget.ts';
import { caOf } from '../limits/limits.ts';
import type { AccountConfig } from './account-section.ts';
import type { Ca } from './open-ca.ts';

/** The same CAs, each with its account and its connection, but with the limits that are configured by now. */
export function countedBy(
  accounts: ReadonlyMap<string, Pick<AccountConfig, 'limits'>>,
  cas: ReadonlyMap<string, Ca>,
  { store, clock }: { store: Store; clock: Clock },
): Map<string, Ca> {
  return new Map(
    [...cas].map(([name, ca]) => {
      const limits = accounts.get(name)?.limits;
      if (!limits) return [name, ca];
      const scope = { account: name, ca: caOf(ca.directoryUrl) };
      return [name, { ...ca, budget: openBudget(store, scope, limits, clock) }];
    }),
  );
}
