import type { AcmeClient } from '../acme/client.ts';
import type { AcmeAuthorization, AcmeChallenge, AcmeOrder } from '../acme/objects.ts';
import { problemKind, toChallengeFault } from '../acme/problem.ts';
import type { Clock } from '../base/basics.ts';
import { IssuanceError } from '../base/errors.ts';
import { canonicalAddress, type Identifier, quoteName, toName } from '../base/identifier.ts';
import { lookAside } from '../solver/look-aside.ts';
import type { ChallengeResponse, Solver } from '../solver/solver.ts';
import type { OrderChallenge, OrderState, Seen } from './order-state.ts';
import { ofSolver } from './solver-failure.ts';

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
  /** Ends looks that nobody waits for, which may go on when this drive has ended; absent: `signal` does. */
  looksEnd?: AbortSignal;
};

/** An authorization, and the name of the order that it is for. */
export type Authorized = { authorization: AcmeAuthorization; identifier: Identifier };

/**
 * Fetches the authorizations of an order: each for a name that was ordered, and no two for the same. What a
 * CA calls them is looked for among these names, and goes no further.
 *
 * @throws IssuanceError `unexpected` where the CA asks for more than was ordered
 */
export async function fetchAuthorizations(
  acme: Pick<AcmeClient, 'getAuthorization'>,
  { authorizations: urls }: Pick<AcmeOrder, 'authorizations'>,
  identifiers: readonly Identifier[],
): Promise<Authorized[]> {
  if (urls.length > identifiers.length) {
    const detail = `the CA asks for ${urls.length} authorizations for ${identifiers.length} names`;
    throw new IssuanceError('unexpected', detail);
  }
  let open = identifiers;
  const found: Authorized[] = [];
  for (const url of urls) {
    const authorization = await acme.getAuthorization(url);
    const identifier = authorizedIdentifier(authorization, open);
    open = open.filter(one => one !== identifier);
    found.push({ authorization, identifier });
  }
  return found;
}

/**
 * The name that an authorization is for: a wildcard's authorization drops the `*.` (section 7.1.4), and at
 * some CAs does not say that it did.
 *
 * @param identifiers that no other authorization is for
 * @throws IssuanceError `unexpected`
 */
export function authorizedIdentifier(
  { identifier: { type, value }, wildcard }: AcmeAuthorization,
  identifiers: readonly Identifier[],
): Identifier {
  const name = type === 'ip' ? canonicalAddress(value) : toName(value);
  const spellings = wildcard ? [`*.${name}`] : [`${name}`, `*.${name}`];
  for (const spelling of spellings) {
    const found = identifiers.find(one => one.type === type && one.value === spelling);
    if (found) return found;
  }
  const detail = `the CA asks for an authorization of ${quoteName(value)}, which was not ordered`;
  throw new IssuanceError('unexpected', detail);
}

/**
 * The first solver that can answer one of the challenges of a pending authorization, and that challenge.
 *
 * @param solvers in the order of preference
 * @throws IssuanceError `misconfigured` when the CA offers none that fits, saying what it offers
 */
export function chooseChallenge(
  { authorization, identifier }: Authorized,
  solvers: readonly Solver[],
): { challenge: AcmeChallenge; solver: Solver } {
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
    if (!selfCheck) return;
    if (selfCheck.mode === 'warn') return lookAside(selfCheck, response, parts);
    const fault = await selfCheck.look(response, parts.signal);
    if (fault) throw new IssuanceError('challengeFailed', `${response.identifier.value}: ${fault}`);
  });
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
export async function eachSolver<T>(
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
  if (failure) throw ofSolver(failure.reason);
  return ends.flatMap(end => (end.status === 'fulfilled' ? [end.value] : []));
}

/** @param earlier what was presented before, of which the CA may have been told */
export function chooseChallenges(
  found: Authorized[],
  solvers: readonly Solver[],
  earlier: OrderChallenge[],
): OrderChallenge[] {
  return found
    .filter(({ authorization }) => authorization.status !== 'valid')
    .map(one => toChallenge(one, chooseChallenge(one, solvers), earlier))
    .filter(challenge => challenge !== undefined);
}

/** @returns `undefined` where the CA has only to notice that the name is proven */
function toChallenge(
  { identifier }: Authorized,
  { challenge, solver }: ReturnType<typeof chooseChallenge>,
  earlier: OrderChallenge[],
): OrderChallenge | undefined {
  const { url, token, status, issuerDomainNames, accountUrl } = challenge;
  if (status === 'valid') return undefined;
  const told = status === 'processing' && earlier.some(one => one.url === url);
  const chosen = { identifier, url, token, solver: solver.name, told };
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
  for (const challenge of challenges) if (!challenge.told) await initiate(acme, challenge);
  return { saw: 'initiated', at: initiatedAt };
}

/**
 * A predecessor may have told the CA already, which then calls it malformed to be told again: the order will
 * show.
 */
export async function initiate(
  acme: Pick<AcmeClient, 'initiateChallenge'>,
  { url, identifier }: Pick<OrderChallenge, 'url' | 'identifier'>,
): Promise<void> {
  try {
    await acme.initiateChallenge(url);
  } catch (error) {
    if (error instanceof IssuanceError && problemKind(error.problem) === 'malformed') return;
    throw toChallengeFault(error, identifier);
  }
}
