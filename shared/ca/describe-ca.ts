import { toTime } from '../base/to-time.ts';
import type { AccountStates } from './account-states.ts';
import type { Ca } from './open-ca.ts';

/**
 * How an account is, in one line for people: where it is, open or why not, whether its CA can be reached, and
 * what is left of its limits.
 */
export async function describeCa(
  { name, directoryUrl, breaker, budget, limits }: Omit<Ca, 'account' | 'connection'>,
  states: AccountStates,
): Promise<string> {
  const [state, opened, orders, limit] = await Promise.all([
    states.read(name),
    breaker.opened(),
    budget.ordersLeft(),
    limits.standingAgainst([]),
  ]);
  const parts = [
    describeState(state),
    opened ? `breaker open since ${toTime(opened.since)}: ${opened.reason}` : 'breaker closed',
    orders ? `${orders.left} of ${orders.rate.count} orders left` : 'orders are not counted',
    ...(limit
      ? [`held back until ${limit.retryAfter ? toTime(limit.retryAfter) : 'you clear it'}: ${limit.message}`]
      : []),
  ];
  return `account ${name}, ${directoryUrl}: ${parts.join('; ')}`;
}

function describeState(state: Awaited<ReturnType<AccountStates['read']>>): string {
  if (!state) return 'no worker has opened it yet';
  const since = `since ${toTime(state.since)}`;
  return 'url' in state ? `open ${since} as ${state.url}` : `not open ${since}: ${state.fault}`;
}
