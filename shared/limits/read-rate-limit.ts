import type { IssuanceError, Problem } from '../base/errors.ts';
import type { Identifier } from '../base/identifier.ts';

const UNTOLD = 3_600_000;

/** What a rate limit covers; `unsaid` where the CA's words do not tell. Names and domains are the order's. */
export type Cover = 'account' | 'set' | 'unsaid' | { name: string } | { domain: string };

/** What a rate limit covers, and until when (milliseconds since the epoch; `undefined`: a person acts). */
type RateLimit = { covers: Cover[]; until: number | undefined };

/**
 * Reads a rate limit out of what the CA said. RFC 8555 has no field for what a limit covers, so that the
 * texts of Boulder (Let's Encrypt) are read.
 *
 * @param domains the registered domains of the identifiers
 */
export function readRateLimit(
  identifiers: Identifier[],
  domains: string[],
  error: IssuanceError,
  now: number,
): RateLimit {
  // A load balancer knows of no accounts: it asks this fleet to wait, which has one account there as a rule.
  if (error.code === 'unavailable') return { covers: ['account'], until: error.retryAfter ?? now };
  const limited = (error.problem?.subproblems ?? []).filter(({ type }) => type.endsWith(':rateLimited'));
  const said = limited.length > 0 ? limited : [error.problem];
  return {
    covers: said.flatMap(problem => coversOf(identifiers, domains, problem)),
    until: readEnd(error, now),
  };
}

function coversOf(identifiers: Identifier[], domains: string[], problem: Problem | undefined): Cover[] {
  const detail = problem?.detail ?? '';
  const said = withoutNames(detail);
  const told = namesLike(identifiers, value => value === problem?.identifier?.value);
  if (told.length > 0) return told;
  if (/exact set of (identifiers|domains)/.test(said)) return ['set'];
  const named = namesLike(identifiers, value => mentions(detail, value));
  if (/failed authorizations|paused|temporarily prevented/.test(said) && named.length > 0) return named;
  const counted = domains.filter(domain => mentions(detail, domain)).map(domain => ({ domain }));
  if (/certificates/.test(said) && counted.length > 0) return counted;
  return /\baccount\b|new orders/.test(said) ? ['account'] : ['unsaid'];
}

/** The order's names that are meant; a CA names a wildcard without its `*.`. */
function namesLike(identifiers: Identifier[], isMeant: (name: string) => boolean): { name: string }[] {
  const meant = identifiers.filter(({ value }) => isMeant(value) || isMeant(value.replace(/^\*\./, '')));
  return meant.map(({ value }) => ({ name: value }));
}

/**
 * The CA's own words: a client chooses its names, and `account.example.org` must not have a limit be taken
 * for the account's. What an URL says stays.
 */
const withoutNames = (text: string) => text.replace(/(?<![\w./*-])[\w*-]+(?:\.[\w-]+)+/g, '…');

/** A name as a whole: `example.org` is not mentioned by `www.example.org`. */
function mentions(text: string, name: string): boolean {
  return text
    .toLowerCase()
    .split(/[^a-z0-9.:*-]+/)
    .some(word => word.replace(/[.,:]+$/, '') === name);
}

function readEnd(error: IssuanceError, now: number): number | undefined {
  if (error.retryAfter !== undefined) return error.retryAfter;
  const said = withoutNames(error.problem?.detail ?? '');
  const time = /retry after (\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d) ?(?:UTC|Z)/i.exec(said);
  if (time) return Math.max(Date.parse(`${time[1]}T${time[2]}Z`), now);
  // Let's Encrypt pauses names of accounts that fail on and on; only a person at its portal can end that.
  if (/https:\/\/\S+/.test(said) && /paused|prevented|portal|unpause/i.test(said)) return undefined;
  return now + UNTOLD;
}
