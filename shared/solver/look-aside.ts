import type { ChallengeResponse, Solver } from './solver.ts';

/**
 * Looks where nobody waits for it: an order goes on, and may end before.
 *
 * @param looksEnd ends the look; absent: `signal` does
 */
export function lookAside(
  selfCheck: NonNullable<Solver['selfCheck']>,
  response: ChallengeResponse,
  { looksEnd, signal, warn }: { looksEnd?: AbortSignal; signal: AbortSignal; warn?: (fault: string) => void },
): void {
  const looking = selfCheck.look(response, looksEnd ?? signal);
  // It rejects only when it was ended.
  looking.then(fault => fault && warn?.(fault)).catch(() => {});
}
