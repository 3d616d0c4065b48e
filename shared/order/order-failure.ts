import type { AcmeClient } from '../acme/client.ts';
import type { AcmeOrder } from '../acme/objects.ts';
import { problemKind } from '../acme/problem.ts';
import { IssuanceError, type Problem } from '../base/errors.ts';
import { authorizedIdentifier } from './choose-challenge.ts';

/**
 * Why an order became invalid: the failed challenges, each with its name, or else what the order itself says.
 *
 * @param faults what Quarry's own look at the challenge responses found, by name
 */
export async function orderFailure(
  acme: AcmeClient,
  order: AcmeOrder,
  faults: ReadonlyMap<string, string> = new Map(),
): Promise<IssuanceError> {
  const failed = await failedChallenges(acme, order);
  if (failed.length > 0)
    return new IssuanceError('challengeFailed', failed.map(problem => toLine(problem, faults)).join('; '), {
      problem: toProblem(failed),
    });
  const said = order.error?.detail ?? 'it gave no reason';
  const code = problemKind(order.error) === 'badCSR' ? 'badCsr' : 'denied';
  return new IssuanceError(code, `the CA ended the order: ${said}`, { problem: order.error });
}

async function failedChallenges(acme: AcmeClient, order: AcmeOrder): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const url of order.authorizations) {
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
