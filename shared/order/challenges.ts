import type { AcmeClient } from '../acme/client.ts';
import type { AcmeAuthorization, AcmeChallenge, AcmeOrder } from '../acme/objects.ts';
import { problemKind } from '../acme/problem.ts';
import { type Clock, IssuanceError } from '../base/basics.ts';
import type { Identifier } from '../base/identifier.ts';
import type { ChallengeResponse, Solver } from '../solver/solver.ts';
import type { Seen } from './next-step.ts';
import type { OrderChallenge, OrderState } from './order-state.ts';

/** Needed to answer challenges. */
export type PresentParts = {
  acme: Pick<AcmeClient, 'keyAuthorization' | 'accountUrl'>;
  /**
   * In the order of preference. Empty where no verification is configured: then only names that the CA holds
   * valid already can be had.
   */
  solvers: readonly Solver[];
  signal: AbortSignal;
  /** Gets what a solver's own look found wrong, in one line, where the order goes on all the same. */
  warn?: (fault: string) => void;
};

/**
 * The name that an authorization is for, as the order has it: a wildcard's authorization drops the `*.`
 * (section 7.1.4).
 */
export function authorizedIdentifier({ identifier, wildcard }: AcmeAuthorization): Identifier {
  return wildcard ? { type: 'dns', value: `*.${identifier.value}` } : identifier;
}

/**
 * The first solver that can answer one of the challenges of a pending authorization, and that challenge.
 *
 * @param solvers in the order of preference
 * @throws IssuanceError `misconfigured` when the CA offers none that fits, saying what it offers
 */
export function chooseChallenge(
  authorization: AcmeAuthorization,
  solvers: readonly Solver[],
): { challenge: AcmeChallenge; solver: Solver } {
  const identifier = authorizedIdentifier(authorization);
  for (const solver of solvers.filter(one => one.canProve(identifier))) {
    const challenge = authorization.challenges.find(one => one.type === solver.challengeType && isWhole(one));
    if (challenge) return { challenge, solver };
  }
  const offered = authorization.challenges.map(({ type }) => type).join(', ') || 'nothing';
  const have = solvers.map(({ name, challengeType }) => `verification "${name}" answers ${challengeType}`);
  const instead = have.join(', ') || 'neither a verification nor an authenticator is configured';
  throw new IssuanceError(
    'misconfigured',
    `for ${identifier.value} the CA offers ${offered}, but ${instead}`,
  );
}

/** dns-persist-01 is the one kind without a token. */
function isWhole({ type, token, issuerDomainNames }: AcmeChallenge): boolean {
  return type === 'dns-persist-01' ? issuerDomainNames !== undefined : token !== '';
}

/**
 * Ends an order that no solver can prove, before the CA is asked for it.
 *
 * @throws IssuanceError `denied` naming the identifier
 */
export function refuseHopeless(identifiers: readonly Identifier[], solvers: readonly Solver[]): void {
  if (solvers.length === 0) return; // the CA may hold the names valid already
  const hopeless = identifiers.find(identifier => !solvers.some(solver => solver.canProve(identifier)));
  if (!hopeless) return;
  const have = solvers
    .map(({ name, challengeType }) => `${challengeType} of verification "${name}"`)
    .join(', ');
  throw new IssuanceError('denied', `not possible for ${hopeless.value}: ${have} cannot prove it`);
}

export async function presentChallenges(parts: PresentParts, challenges: OrderChallenge[]): Promise<void> {
  await eachSolver(parts, challenges, (solver, response) => solver.present(response, parts.signal));
}

/** Undoes whatever may have been presented; one that fails does not keep the others. */
export async function withdrawAll(parts: PresentParts, challenges: OrderChallenge[]): Promise<void> {
  await eachSolver(parts, challenges, (solver, response) => solver.withdraw(response, parts.signal));
}

/**
 * Says in one line what some server that the CA may ask does not show yet.
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

/**
 * Where it is required, the CA is not told before the responses can be seen; else nobody waits for the look.
 */
async function checkVisible(parts: PresentParts, challenges: OrderChallenge[]): Promise<void> {
  await eachSolver(parts, challenges, async ({ selfCheck }, response) => {
    const looking = selfCheck?.look(response, parts.signal);
    if (selfCheck?.mode === 'require') {
      const fault = await looking;
      if (fault) throw new IssuanceError('challengeFailed', `${response.identifier.value}: ${fault}`);
    } else {
      // It rejects only when the job has ended.
      looking?.then(fault => fault && parts.warn?.(fault)).catch(() => {});
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

function toResponse(
  acme: PresentParts['acme'],
  { identifier, token, persist }: OrderChallenge,
): ChallengeResponse {
  const response = { identifier, token, keyAuthorization: acme.keyAuthorization(token) };
  return persist ? { ...response, persist: { accountUrl: acme.accountUrl, ...persist } } : response;
}

/**
 * Lets every solver act at once, as some wait for servers far away, and waits for all of them also when one
 * fails.
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

export async function chooseChallenges(
  { acme, solvers }: { acme: Pick<AcmeClient, 'getAuthorization'>; solvers: readonly Solver[] },
  { authorizations }: AcmeOrder,
): Promise<OrderChallenge[]> {
  const challenges: OrderChallenge[] = [];
  for (const url of authorizations) {
    const authorization = await acme.getAuthorization(url);
    if (authorization.status === 'pending') {
      challenges.push(toChallenge(authorization, chooseChallenge(authorization, solvers)));
    }
  }
  return challenges;
}

function toChallenge(
  authorization: AcmeAuthorization,
  { challenge, solver }: ReturnType<typeof chooseChallenge>,
): OrderChallenge {
  const { url, token, status, issuerDomainNames, accountUrl } = challenge;
  const identifier = authorizedIdentifier(authorization);
  const chosen = { identifier, url, token, solver: solver.name, told: status === 'processing' };
  if (!issuerDomainNames) return chosen;
  return { ...chosen, persist: { issuerDomainNames, ...(accountUrl !== undefined && { accountUrl }) } };
}

/** The CA is told once everybody whom it may ask can answer; the waiting for that costs it no request. */
export async function startChallenges(
  parts: PresentParts & { acme: AcmeClient; clock: Clock },
  { challenges, presentedAt }: OrderState,
): Promise<Seen> {
  const { acme, clock } = parts;
  if (presentedAt === undefined) await presentChallenges(parts, challenges);
  const at = presentedAt ?? clock.now();
  if ((await findMissing(parts, challenges, at, clock.now())) !== undefined) return { saw: 'missing', at };
  await checkVisible(parts, challenges);
  const initiatedAt = clock.now();
  for (const challenge of challenges) if (!challenge.told) await initiate(acme, challenge.url);
  return { saw: 'initiated', at: initiatedAt };
}

/**
 * A predecessor may have told the CA already, which then calls it malformed to be told again: the order will
 * show.
 */
async function initiate(acme: AcmeClient, url: string): Promise<void> {
  try {
    await acme.initiateChallenge(url);
  } catch (error) {
    if (!(error instanceof IssuanceError) || problemKind(error.problem) !== 'malformed') throw error;
  }
}
