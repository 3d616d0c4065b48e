import { problemKind } from '../acme/problem.ts';
import { IssuanceError, type IssuanceErrorCode, type Problem } from '../base/errors.ts';
import { StillWorkingError } from './still-working.ts';

/** Why an account did not issue, as data. */
export type Refusal = {
  account: string;
  code: IssuanceErrorCode;
  detail: string;
  /** When the account may issue after all, in milliseconds since the epoch. */
  until?: number | undefined;
  problem?: Problem | undefined;
  /** The CA does not offer the certificate profile, and may be asked without it. */
  withoutProfile?: true;
};

/** Problems that another CA may not have (RFC 8555 section 6.7, draft-ietf-acme-profiles section 5). */
const ownJudgements = new Set([
  'caa',
  'rejectedIdentifier',
  'unsupportedIdentifier',
  'badPublicKey',
  'invalidProfile',
  'serverInternal',
]);

/**
 * Whether an order that an account refuses is to be tried with the next account: where the reason is this
 * CA's or this account's own. What is wrong with the CSR or with the names' proof would fail there too, and
 * cost that CA's limits.
 *
 * @param patience until when the order can wait here, in milliseconds since the epoch
 * @param unreachable whether the fleet has found that the CA cannot be reached
 */
export function goesElsewhere(error: unknown, patience: number, unreachable: boolean): boolean {
  if (!(error instanceof IssuanceError) || error instanceof StillWorkingError) return false;
  const late = (error.retryAfter ?? Number.POSITIVE_INFINITY) > patience;
  switch (error.code) {
    case 'unavailable':
      return unreachable || (error.retryAfter !== undefined && late);
    case 'rateLimited':
      return late;
    case 'misconfigured':
      return true;
    case 'denied':
    case 'badCsr':
    case 'challengeFailed':
    case 'gone':
      return isOwnJudgement(error.problem);
    case 'unknown':
    case 'unexpected':
      return false;
  }
}

/** Of several failed challenges each has to be such a judgement, else the same names fail at the next CA. */
function isOwnJudgement(problem: Problem | undefined): boolean {
  if (!problem) return false;
  const { subproblems = [] } = problem;
  if (problemKind(problem) === 'compound') return subproblems.length > 0 && subproblems.every(isOwnJudgement);
  return ownJudgements.has(problemKind(problem));
}

/**
 * How a round over all accounts of a block ended: it begins again at a time, at once, or comes to nothing.
 */
type Conclusion =
  | { do: 'again'; at: number; kept: Refusal[] }
  | { do: 'withoutProfile'; kept: Refusal[] }
  | { do: 'fail'; error: IssuanceError };

/**
 * What becomes of an order that every account has refused. An account that was away or held back by a limit
 * is asked again when that may be over; a certificate profile that only some CAs offer is not sent to the
 * others.
 *
 * @param refusals at least one, in the order of the accounts' preference
 * @param until in milliseconds since the epoch: `patience`, until when the order can wait for a limit;
 *   `lastTry`, until when a CA that is away is asked again, as the next post then finds the certificate
 */
export function concludeRound(
  refusals: readonly Refusal[],
  until: { patience: number; lastTry: number },
): Conclusion {
  const withProfile = refusals.filter(one => !one.withoutProfile);
  if (withProfile.length < refusals.length && withProfile.length > 0) {
    return { do: 'withoutProfile', kept: withProfile };
  }
  const passing = refusals.filter(refusal => passes(refusal, until));
  if (passing.length > 0) {
    const at = Math.min(...passing.map(({ until = 0 }) => until));
    return { do: 'again', at, kept: refusals.filter(one => !passing.includes(one)) };
  }
  return { do: 'fail', error: refusedByAll(refusals) };
}

function passes(
  { code, until }: Refusal,
  { patience, lastTry }: { patience: number; lastTry: number },
): boolean {
  if (until === undefined) return false;
  return (code === 'unavailable' && until <= lastTry) || (code === 'rateLimited' && until <= patience);
}

/** The first choice's reason, with the first time at which any account may issue. */
export function refusedByAll(refusals: readonly Refusal[]): IssuanceError {
  const [first, ...others] = refusals;
  if (!first) throw new Error('no account has refused');
  const { code, detail, problem } = first;
  const also = others.map(({ account, detail }) => `account ${account}: ${detail}`);
  const times = refusals.flatMap(({ until }) => until ?? []);
  const retryAfter = times.length > 0 ? Math.min(...times) : undefined;
  return new IssuanceError(code, [detail, ...also].join('; '), { problem, retryAfter });
}

const FIRST_RETRY = 1_000;
const LONGEST_RETRY = 60_000;

/**
 * How long failures of a CA are sat out; `longestWait` in milliseconds, before which the CA is asked again.
 */
type RetryPolicy = {
  mostFailures: number;
  longestWait: number;
  longestOrder: number;
  mostNewOrders: number;
};

/** For a person or a cron job that waits: a CA that is away for longer is asked again in the next run. */
export const SHORT_PATIENCE: RetryPolicy = {
  mostFailures: 4,
  longestWait: 60_000,
  longestOrder: 3_600_000,
  mostNewOrders: 1,
};

/**
 * When a step that failed is tried again: a CA that is away or that has lost the order is waited for; the
 * client gets every other error. The backoff counts lost orders too, as a new order ends the failures in a
 * row but proves nothing.
 *
 * @param order `begun`: when its turn came, in milliseconds since the epoch; how often in a row it failed,
 *   and how many orders were lost
 * @returns `undefined` where it is not
 */
export function retryTime(
  error: unknown,
  order: { begun?: number | undefined; failures: number; lostOrders: number },
  now: number,
  policy: RetryPolicy,
): { at: number; withNewOrder: boolean } | undefined {
  if (!(error instanceof IssuanceError)) return undefined;
  const withNewOrder = error.code === 'gone';
  if (error.code !== 'unavailable' && !withNewOrder) return undefined;
  if (withNewOrder && order.lostOrders >= policy.mostNewOrders) return undefined;
  if (order.failures >= policy.mostFailures) return undefined;
  const failures = Math.max(order.failures, order.lostOrders);
  const backoff = Math.min(FIRST_RETRY * 2 ** failures, LONGEST_RETRY) * (0.75 + Math.random() / 2);
  const at = Math.max(error.retryAfter ?? 0, now + backoff);
  if (at - now > policy.longestWait || at - (order.begun ?? now) > policy.longestOrder) return undefined;
  return { at, withNewOrder };
}
