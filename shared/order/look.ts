import type { AcmeClient } from '../acme/client.ts';
import type { AcmeOrder } from '../acme/objects.ts';
import {
  type Authorized,
  eachSolver,
  fetchAuthorizations,
  initiate,
  type PresentParts,
} from './challenges.ts';
import { isOver, type Seen } from './next-step.ts';
import { authorizationFailure } from './order-failure.ts';
import type { Checkpoint, OrderChallenge, OrderTask } from './order-state.ts';

/** How often the CA is told again of a challenge that has failed, over half a minute. */
const MOST_TRIES = 3;

/**
 * Looks at the authorizations of an order that does not move, though its challenges were announced: at some
 * CAs it never does. A challenge that is `pending` with an error may be announced again (RFC 8555 section
 * 8.2), and is, a few times.
 *
 * @throws IssuanceError `challengeFailed`, or `gone` where a new order may do
 */
export async function lookAtAuthorizations(
  parts: PresentParts & { acme: AcmeClient },
  { identifiers }: OrderTask,
  { order: state, lostOrders }: Checkpoint,
  order: AcmeOrder,
): Promise<Seen> {
  const found = await fetchAuthorizations(parts.acme, order, identifiers);
  const failed = state.challenges.filter(one => isToldInVain(one, found));
  const isSpent = failed.length > 0 && (state.tries ?? 0) >= MOST_TRIES;
  if (isSpent || found.some(({ authorization }) => isOver(authorization))) {
    const faults = await lookAgain(parts, state.challenges);
    throw authorizationFailure(found, state, lostOrders, faults);
  }
  for (const challenge of failed) await initiate(parts.acme, challenge);
  return { saw: 'looked', order, toldAgain: failed.length > 0 };
}

/**
 * A CA that waits for a word may call a challenge `processing`, too, which a predecessor perhaps never gave.
 */
function isToldInVain({ url, told }: OrderChallenge, found: Authorized[]): boolean {
  const challenge = found
    .flatMap(({ authorization }) => authorization.challenges)
    .find(one => one.url === url);
  if (!challenge) return false;
  return challenge.status === 'pending'
    ? challenge.error !== undefined
    : told && challenge.status === 'processing';
}

/** After a failure, what the CA said is easier to understand beside what can be seen from here. */
export async function lookAgain(
  parts: PresentParts,
  challenges: OrderChallenge[],
): Promise<Map<string, string>> {
  const faults = await eachSolver(parts, challenges, async (solver, response) => {
    const fault = await solver.selfCheck?.look(response, parts.signal);
    return [response.identifier.value, fault ?? ''] as const;
  });
  return new Map(faults.filter(([, fault]) => fault !== ''));
}
