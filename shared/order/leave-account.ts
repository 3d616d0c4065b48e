import type { Log } from '../base/basics.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import type { Ca } from '../ca/open-ca.ts';
import { StandingLimitError } from '../limits/limits.ts';
import type { Refusal } from './fail-over.ts';
import { SolverAwayError } from './solver-failure.ts';

/** When an account whose breaker is open is looked at again. Milliseconds. */
export const BREAKER_RETRY = 5_000;
/** An account does not issue, and the next one is to be tried. */
export class LeftError extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.detail);
    this.refusal = refusal;
  }
}

/** @param again when a CA that is away is asked again, where it does not say when */
export function toLeft(account: string, error: IssuanceError, again: number | undefined): LeftError {
  const { code, message: detail, problem } = error;
  const until = error.retryAfter ?? (code === 'unavailable' ? again : undefined);
  return new LeftError({ account, code, detail, until, problem });
}

/**
 * Passes over a CA that the fleet cannot reach, but for one order that finds out whether it can be reached
 * again.
 *
 * @throws LeftError
 */
export async function admit({ name, breaker }: Pick<Ca, 'name' | 'breaker'>, now: number): Promise<void> {
  if ((await breaker.admit()) !== 'open') return;
  const detail = `the CA of account ${name} cannot be reached; it was not asked`;
  throw new LeftError({ account: name, code: 'unavailable', detail, until: now + BREAKER_RETRY });
}

/**
 * Counts a failure for the breaker of a CA that could not be reached or answered 5xx. A limit that stands
 * says nothing of that, as the CA was not asked; nor does what answers challenges.
 *
 * @returns whether the breaker is open
 */
export async function noteUnreachable(
  { name, breaker }: Pick<Ca, 'name' | 'breaker'>,
  error: unknown,
  log: Log,
): Promise<boolean> {
  const failed = error instanceof IssuanceError && error.code === 'unavailable';
  if (!failed || error instanceof StandingLimitError || error instanceof SolverAwayError) return false;
  const reason = describeError(error);
  if (await breaker.failed(reason)) {
    log.warn({ account: name, reason }, 'the CA cannot be reached, breaker opened');
  }
  return (await breaker.opened()) !== undefined;
}
