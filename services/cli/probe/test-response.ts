import { randomBytes } from 'node:crypto';
import { canProve, type Identifier } from '../../../shared/base/identifier.ts';
import type { Config } from '../../../shared/setup/load-config.ts';
import type { VerificationConfig } from '../../../shared/solver/kinds.ts';
import type { ChallengeResponse } from '../../../shared/solver/solver.ts';

const OWN_LABEL = 'quarry-probe';

/**
 * A name that some auth block has proven by this verification: one that is written out, else the wildcard of
 * a glob such as `*.example.org`, or where it cannot be proven a name below it; `undefined` where there is
 * neither.
 */
export function findTestName(verification: VerificationConfig, { auth }: Config): Identifier | undefined {
  const globs = auth
    .filter(block => block.verifications.includes(verification.name))
    .flatMap(({ domains }) => domains)
    .map(glob => glob.toLowerCase());
  const wildcards = globs.filter(glob => /^\*\.[a-z0-9._-]+$/.test(glob));
  const names = [
    ...globs.filter(glob => /^[a-z0-9._-]+$/.test(glob)),
    ...wildcards,
    ...wildcards.map(glob => glob.replace('*', OWN_LABEL)),
  ];
  return names
    .map(value => ({ type: 'dns' as const, value }))
    .find(identifier => canProve(verification.challenge, identifier));
}

/** A name that exists nowhere (RFC 2606), where only Quarry's own parts are asked for it. */
export const nowhere: Identifier = { type: 'dns', value: `${OWN_LABEL}.invalid` };

/** As a CA would ask for it, but of no account. */
export function newTestResponse(identifier: Identifier): ChallengeResponse {
  const [token, thumbprint] = [randomBytes(32), randomBytes(32)].map(bytes => bytes.toString('base64url'));
  return { identifier, token: `${token}`, keyAuthorization: `${token}.${thumbprint}` };
}
