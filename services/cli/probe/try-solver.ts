import type { Clock } from '../../../shared/base/clock.ts';
import type { ChallengeResponse, Solver } from '../../../shared/solver/solver.ts';

const LOOK_AGAIN = 500;
const LAST_STEP = 30_000;

/**
 * Presents a response, waits until it can be seen, lets `look` see it, and withdraws it whatever happened.
 *
 * @returns what `look` returns
 * @throws Error with what went wrong first, in one line
 */
export async function trySolver<T>(
  { solver, clock, signal }: { solver: Solver; clock: Clock; signal: AbortSignal },
  response: ChallengeResponse,
  look: () => Promise<T>,
): Promise<T> {
  const withdraw = () => solver.withdraw(response, AbortSignal.timeout(LAST_STEP));
  try {
    await solver.present(response, signal);
    await untilSeen(solver, response, clock, signal);
    const seen = await look();
    await withdraw();
    return seen;
  } catch (error) {
    await withdraw().catch(() => {}); // the first failure tells more
    throw error;
  }
}

async function untilSeen(
  { propagation }: Solver,
  response: ChallengeResponse,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  if (!propagation) return;
  const begin = clock.now();
  for (;;) {
    const missing = await propagation.missing(response, signal);
    if (missing === undefined) return;
    if (clock.now() - begin > propagation.deadline) throw new Error(missing);
    await clock.sleep(LOOK_AGAIN, signal);
  }
}
