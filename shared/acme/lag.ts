import type { Clock } from '../base/basics.ts';
import { IssuanceError } from '../base/errors.ts';
import { saysAccountIsGone } from './problem.ts';

/** Milliseconds before each further try: what one replica of a CA has made, others know within seconds. */
const PAUSES = [500, 1_000, 2_000, 4_000];

/**
 * Does again what failed as if the thing were not there, of which the CA has told us before: a replica may
 * lag behind. Nothing was done by a request that met a 404, so it may be sent again whatever it is.
 *
 * @param error what the first try threw
 * @throws what the last try threw; or the signal's reason
 */
export async function tryUntilThere<T>(
  act: () => Promise<T>,
  error: unknown,
  clock: Clock,
  signal: AbortSignal,
): Promise<T> {
  let last = error;
  for (const pause of PAUSES) {
    if (!isMissing(last)) throw last;
    await clock.sleep(pause, signal);
    try {
      return await act();
    } catch (failure) {
      last = failure;
    }
  }
  throw last;
}

const isMissing = (error: unknown) =>
  error instanceof IssuanceError && error.code === 'gone' && !saysAccountIsGone(error);
