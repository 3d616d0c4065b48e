import type { AcmeAuthorization, AcmeChallenge } from '../acme/objects.ts';
import { IssuanceError } from '../base/errors.ts';
import type { Identifier } from '../pki/identifier.ts';
import type { Solver } from '../solver/solver.ts';

/** The name that an authorization is for, as the order has it: a wildcard's authorization drops the `*.` (section 7.1.4). */
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
 * Ends an order that nobody could prove before the CA is asked for it.
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
