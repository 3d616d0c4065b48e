import type { AcmeClient } from '../acme/client.ts';
import { IssuanceError } from '../base/errors.ts';
import type { ChallengeResponse, Solver } from '../solver/solver.ts';
import type { OrderChallenge } from './order-state.ts';

export type PresentParts = {
  acme: AcmeClient;
  solvers: readonly Solver[];
  signal: AbortSignal;
  /** Told what a solver's own look found wrong, in one line, where the order goes on all the same. */
  warn?: (fault: string) => void;
};

export async function presentChallenges(parts: PresentParts, challenges: OrderChallenge[]): Promise<void> {
  await eachSolver(parts, challenges, (solver, response) => solver.present(response, parts.signal));
}

/** Undoes whatever may have been presented; one that fails does not keep the others. */
export async function withdrawAll(parts: PresentParts, challenges: OrderChallenge[]): Promise<void> {
  await eachSolver(parts, challenges, (solver, response) => solver.withdraw(response, parts.signal));
}

/**
 * What has not reached everybody yet who may be asked for it, in one line.
 *
 * @param since when the responses were presented, in milliseconds since the epoch
 * @throws IssuanceError `challengeFailed` once it takes longer than the solver allows
 */
export async function findMissing(
  parts: PresentParts,
  challenges: OrderChallenge[],
  since: number,
  now: number,
): Promise<string | undefined> {
  const looks = await eachSolver(parts, challenges, async ({ propagation }, response) => {
    const missing = await propagation?.missing(response, parts.signal);
    if (missing === undefined || propagation === undefined) return undefined;
    if (now - since < propagation.deadline) return missing;
    const waited = `after ${Math.round((now - since) / 1000)} s`;
    throw new IssuanceError('challengeFailed', `${response.identifier.value}: ${missing}, ${waited}`);
  });
  return looks.find(missing => missing !== undefined);
}

/** Where it is required, the CA is not told before the responses can be seen; else nobody waits for the look. */
export async function checkVisible(parts: PresentParts, challenges: OrderChallenge[]): Promise<void> {
  await eachSolver(parts, challenges, async ({ selfCheck }, response) => {
    const looking = selfCheck?.look(response, parts.signal);
    if (selfCheck?.mode === 'require') {
      const fault = await looking;
      if (fault) throw new IssuanceError('challengeFailed', `${response.identifier.value}: ${fault}`);
    } else {
      looking?.then(fault => fault && parts.warn?.(fault)).catch(() => {}); // it rejects only when the job has ended
    }
  });
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

function toResponse(acme: AcmeClient, { identifier, token, persist }: OrderChallenge): ChallengeResponse {
  const response = { identifier, token, keyAuthorization: acme.keyAuthorization(token) };
  return persist ? { ...response, persist: { accountUrl: acme.accountUrl, ...persist } } : response;
}

/**
 * Lets every solver act at once, as some wait for servers far away, and waits for all of them also when one fails.
 *
 * @throws what the first that failed threw
 */
async function eachSolver<T>(
  { acme, solvers }: PresentParts,
  challenges: OrderChallenge[],
  act: (solver: Solver, response: ChallengeResponse) => Promise<T>,
): Promise<T[]> {
  const acts = challenges.flatMap(challenge => {
    const solver = solvers.find(one => one.name === challenge.solver);
    return solver ? [act(solver, toResponse(acme, challenge))] : [];
  });
  const ends = await Promise.allSettled(acts);
  const failure = ends.find(end => end.status === 'rejected');
  if (failure) throw failure.reason;
  return ends.flatMap(end => (end.status === 'fulfilled' ? [end.value] : []));
}
