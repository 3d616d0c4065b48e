import type { AcmeClient } from '../acme/client.ts';
import type { AcmeOrder } from '../acme/objects.ts';
import { lookAside } from '../solver/look-aside.ts';
import {
  type Authorized,
  eachSolver,
  fetchAuthorizations,
  initiate,
  type PresentParts,
} from './challenges.ts';
import { isOver } from './next-step.ts';
import { authorizationFailure } from './order-failure.ts';
import type { Checkpoint, OrderChallenge, OrderTask, Seen } from './order-state.ts';

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
  const hasTries = (state.tries ?? 0) < MOST_TRIES;
  const challenges = state.challenges.map(one => ({ ...one, found: challengeAt(one.url, found) }));
  const failed = challenges.filter(one => one.found?.status === 'pending' && one.found.error !== undefined);
  if ((failed.length > 0 && !hasTries) || found.some(({ authorization }) => isOver(authorization))) {
    const faults = await lookAgain(parts, state.challenges);
    throw authorizationFailure(found, state, lostOrders, faults);
  }
  // A CA may call a challenge `processing`, too, for which it waits for a word that a predecessor never gave.
  const unheard = challenges.filter(one => one.told && one.found?.status === 'processing');
  const again = hasTries ? [...failed, ...unheard] : [];
  for (const challenge of again) await initiate(parts.acme, challenge);
  return { saw: 'looked', order, toldAgain: again.length > 0 };
}

const challengeAt = (url: string, found: Authorized[]) =>
  found.flatMap(({ authorization }) => authorization.challenges).find(one => one.url === url);

/**
 * After a failure, what the CA said is easier to understand beside what was seen from here. Nobody waits for
 * a look any more: one that has not ended yet, or is begun now, tells the log alone.
 */
export async function lookAgain(
  parts: PresentParts,
  challenges: OrderChallenge[],
): Promise<Map<string, string>> {
  const faults = await eachSolver(parts, challenges, async ({ selfCheck }, response) => {
    const fault = await selfCheck?.faultOf(response).catch(() => undefined);
    if (selfCheck && fault === undefined) lookAside(selfCheck, response, parts);
    return [response.identifier.value, fault ?? ''] as const;
  });
  return new Map(faults.filter(([, fault]) => fault !== ''));
}
