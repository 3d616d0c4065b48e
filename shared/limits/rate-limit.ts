import type { IssuanceError, Problem } from '../base/basics.ts';
import type { Identifier } from '../base/identifier.ts';
import { accountKey, domainKey, type LimitScope, nameKey, registeredDomains, setKey } from './limits.ts';

const UNTOLD = 3_600_000;

/** What a rate limit covers, and until when, in milliseconds since the epoch; `undefined`: until an operator has acted. */
type RateLimit = { keys: string[]; until: number | undefined };

/**
 * Reads a rate limit out of what the CA said. RFC 8555 has no field for what a limit covers, so that the texts of Boulder
 * (Let's Encrypt) are read; of a text that is not known, the whole account is taken to be meant.
 */
export function readRateLimit(
  identifiers: Identifier[],
  scope: LimitScope,
  error: IssuanceError,
  now: number,
): RateLimit {
  // A load balancer knows of no accounts: it asks this fleet to wait, which has one account there as a rule.
  if (error.code === 'unavailable') return { keys: [accountKey(scope)], until: error.retryAfter ?? now };
  const limited = (error.problem?.subproblems ?? []).filter(({ type }) => type.endsWith(':rateLimited'));
  const keys =
    limited.length > 0
      ? limited.flatMap(one => keysOfProblem(identifiers, scope, one))
      : keysOfProblem(identifiers, scope, error.problem);
  return { keys: [...new Set(keys)], until: readEnd(error, now) };
}

function keysOfProblem(identifiers: Identifier[], scope: LimitScope, problem: Problem | undefined): string[] {
  const said = problem?.detail ?? '';
  if (problem?.identifier) return [nameKey(problem.identifier.value, scope)];
  if (/exact set of (identifiers|domains)/.test(said)) return [setKey(identifiers, scope)];
  const named = identifiers.filter(({ value }) => mentions(said, value.replace(/^\*\./, '')));
  if (/failed authorizations|paused|temporarily prevented/.test(said) && named.length > 0) {
    return named.map(({ value }) => nameKey(value, scope));
  }
  const domains = registeredDomains(identifiers).filter(domain => mentions(said, domain));
  if (/certificates/.test(said) && domains.length > 0) {
    return domains.map(domain => domainKey(domain, scope));
  }
  return [accountKey(scope)];
}

/** A name as a whole: `example.org` is not mentioned by `www.example.org`. */
function mentions(text: string, name: string): boolean {
  return text
    .toLowerCase()
    .split(/[^a-z0-9.:*-]+/)
    .some(word => word.replace(/[.,:]+$/, '') === name);
}

function readEnd(error: IssuanceError, now: number): number | undefined {
  if (error.retryAfter !== undefined) return error.retryAfter;
  const said = error.problem?.detail ?? '';
  const time = /retry after (\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d) ?(?:UTC|Z)/i.exec(said);
  if (time) return Math.max(Date.parse(`${time[1]}T${time[2]}Z`), now);
  // Let's Encrypt pauses names of accounts that fail on and on; only a person at its portal can end that.
  if (/https:\/\/\S+/.test(said) && /paused|prevented|portal|unpause/i.test(said)) return undefined;
  return now + UNTOLD;
}
