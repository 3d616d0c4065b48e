import type { AcmeClient } from '../acme/client.ts';
import type { AcmeOrder } from '../acme/objects.ts';
import { problemKind } from '../acme/problem.ts';
import { IssuanceError, type Problem } from '../base/basics.ts';
import { authorizedIdentifier } from './challenges.ts';
import type { OrderState } from './order-state.ts';

/**
 * Why an order became invalid: the failed challenges, each with its name, or else what the order itself says.
 *
 * @param faults what Quarry's own look at the challenge responses found, by name
 */
export async function orderFailure(
  acme: Pick<AcmeClient, 'getAuthorization'>,
  { authorizations, error }: AcmeOrder,
  faults: ReadonlyMap<string, string> = new Map(),
): Promise<IssuanceError> {
  const failed = await failedChallenges(acme, authorizations);
  if (failed.length > 0) {
    const lines = failed.map(problem => toLine(problem, faults)).join('; ');
    return new IssuanceError('challengeFailed', lines, { problem: toProblem(failed) });
  }
  const said = error?.detail ?? 'it gave no reason';
  const code = problemKind(error) === 'badCSR' ? 'badCsr' : 'denied';
  return new IssuanceError(code, `the CA ended the order: ${said}`, { problem: error });
}

async function failedChallenges(
  acme: Pick<AcmeClient, 'getAuthorization'>,
  authorizations: string[],
): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const url of authorizations) {
    const authorization = await acme.getAuthorization(url);
    const error = authorization.challenges.find(challenge => challenge.error)?.error;
    if (error) problems.push({ ...error, identifier: authorizedIdentifier(authorization) });
  }
  return problems;
}

function toLine({ identifier, detail, type }: Problem, faults: ReadonlyMap<string, string>): string {
  const name = identifier?.value ?? '';
  const fault = faults.get(name);
  return `${name}: ${detail ?? type}${fault ? ` (${fault})` : ''}`;
}

/** RFC 8555 section 6.7.1: several problems travel as subproblems of a compound one. */
function toProblem(failed: Problem[]): Problem {
  const [only] = failed;
  if (only && failed.length === 1) return only;
  return {
    type: 'urn:ietf:params:acme:error:compound',
    detail: 'several challenges failed',
    subproblems: failed,
  };
}

/**
 * CAs hand one pending order to all who ask for its names. Where its challenges failed that somebody else
 * announced, as a job that has left the account since, this job needs an order of its own.
 */
export function notOurs(failure: IssuanceError, { initiated, challenges }: OrderState): IssuanceError {
  if (initiated || challenges.length > 0 || failure.code !== 'challengeFailed') return failure;
  const detail = `another job's challenges for this order failed: ${failure.message}`;
  return new IssuanceError('gone', detail, { cause: failure });
}
