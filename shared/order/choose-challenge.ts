import type { AcmeAuthorization, AcmeChallenge } from '../acme/client.ts';
import { IssuanceError } from '../base/errors.ts';
import type { Identifier } from '../pki/identifier.ts';
import type { Solver } from '../solver/solver.ts';

/** The name that an authorization is for, as the order has it: a wildcard's authorization drops the `*.` (section 7.1.4). */
export function authorizedIdentifier({ identifier, wildcard }: AcmeAuthorization): Identifier {
  return wildcard ? { type: 'dns', value: `*.${identifier.value}` } : identifier;
}

/**
 * The challenge of a pending authorization that the solver can answer.
 *
 * @throws IssuanceError `misconfigured` when the CA offers none that fits, saying what it offers
 */
export function chooseChallenge(authorization: AcmeAuthorization, solver: Solver | undefined): AcmeChallenge {
  const fitting = authorization.challenges.find(one => one.type === solver?.challengeType && one.token !== '');
  if (fitting) return fitting;
  const name = authorizedIdentifier(authorization).value;
  const offered = authorization.challenges.map(({ type }) => type).join(', ') || 'nothing';
  const have = solver
    ? `verification "${solver.name}" answers ${solver.challengeType}`
    : 'no verification is configured';
  throw new IssuanceError('misconfigured', `for ${name} the CA offers ${offered}, but ${have}`);
}
