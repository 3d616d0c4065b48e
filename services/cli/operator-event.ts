import { userInfo } from 'node:os';
import type { Store } from '../../shared/base/redis.ts';
import type { TrailEvent } from '../../shared/trail/event.ts';
import { openTrail, type Trail } from '../../shared/trail/trail.ts';
import type { FleetRedis } from './fleet-redis.ts';

/**
 * Writes an operator's act into the trail. Call it before the act: what the trail cannot tell is not done.
 *
 * @param detail the act, such as `keys block 4f…`
 * @throws IssuanceError `unavailable` when Redis cannot be reached
 */
export function noteOperator(
  { store, clock }: Pick<FleetRedis, 'store' | 'clock'>,
  detail: string,
  more: Partial<Omit<TrailEvent, 'at' | 'event' | 'by' | 'detail'>> = {},
): Promise<void> {
  return trailOf(store).write({ at: clock.now(), event: 'operator', by: operator(), detail, ...more });
}

const trails = new WeakMap<Store, Trail>();

/** One for each store, so that events that are noted together leave together. */
function trailOf(store: Store): Trail {
  const known = trails.get(store) ?? openTrail(store);
  trails.set(store, known);
  return known;
}

/** As whom the trail knows who runs this command. A container may run as a user without a name. */
export function operator(): string {
  try {
    return `operator ${userInfo().username}`;
  } catch {
    return `operator uid ${process.getuid?.() ?? 'unknown'}`;
  }
}
