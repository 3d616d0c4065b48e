import { createHash } from 'node:crypto';
import type { RenewalInfo } from '../acme/renewal-info.ts';
import { BACKOFF_STEPS } from '../limits/failure-backoff.ts';
import { type CertificateLife, LAST_PART, lifeOf, renewalSpread, renewalTime } from '../pki/life.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** What decides when a certificate is renewed; times in milliseconds since the epoch. */
export type RenewalFacts = {
  life: CertificateLife;
  /** What the CA suggests, or in a few words why nothing is known of it. */
  info: Pick<RenewalInfo, 'start' | 'end' | 'explanationUrl'> | { none: string };
  /** `renewal` or `renew-within`: days before the end; undefined where nothing is set. */
  days: number | undefined;
  /** Whether certificates that are due by days at one moment are spread over a while from then on. */
  spread?: boolean;
  /** Failed attempts since the certificate was issued. */
  failures?: { count: number; last: number; retryAfter?: number | undefined };
  /** When an operator wants it renewed, should that be sooner. */
  wanted?: number | undefined;
  /** In [0, 1): chosen once for this certificate and kept, as `ownRandom` does. */
  random: number;
};

/** A window beside which the CA gives a page that explains it. */
export type ExplainedWindow = Pick<RenewalInfo, 'start' | 'end'> & { explanationUrl: string };

export type RenewalPlan = {
  /** When to renew; in the past: now. */
  at: number;
  /** When it was to be renewed before attempts to do so failed. */
  first: number;
  /** Why then, for people. */
  why: string;
};

/**
 * The one rule for everything that Quarry renews, whether by the CA's renewal information (RFC 9773) or by
 * days.
 */
export function planRenewal(facts: RenewalFacts): RenewalPlan {
  const usual = 'none' in facts.info ? byDays(facts, facts.info.none) : byInfo(facts, facts.info);
  const planned = facts.wanted !== undefined && facts.wanted < usual.at ? planWanted(facts.wanted) : usual;
  const { failures, life, random } = facts;
  if (!failures || failures.count === 0) return planned;
  const again = Math.max(failures.last + backoff(failures.count, life, random), failures.retryAfter ?? 0);
  if (again <= planned.at) return planned;
  return {
    at: again,
    first: planned.at,
    why: `${failures.count} ${failures.count === 1 ? 'attempt' : 'attempts'} failed`,
  };
}

export const planWanted = (at: number): RenewalPlan => ({ at, first: at, why: 'an operator wants it' });

/**
 * Whether to renew now.
 *
 * @param nextLook when this is looked at again: what would fall before is renewed now (RFC 9773 section 4.2)
 */
export function isDue({ at }: RenewalPlan, now: number, nextLook = now): boolean {
  return at <= Math.max(now, nextLook);
}

/** Whether so little is left that every failed attempt is logged as an error. */
export function isAlarming(life: CertificateLife, now: number): boolean {
  return life.notAfter - now < lifeOf(life) * LAST_PART;
}

/**
 * A number in [0, 1) of the certificate's own: it is the same in every process and at any time, without being
 * kept, and evenly spread, as serials are random.
 *
 * @param id the certificate's `renewalInfoId`, or any other name that only it has
 */
export function ownRandom(id: string): number {
  return createHash('sha256').update(id).digest().readUIntBE(0, 6) / 2 ** 48;
}

/**
 * A window that lies too late is not waited for to the end: the certificate must not end before its successor
 * is there.
 */
function byInfo(
  { life, random }: RenewalFacts,
  { start, end, explanationUrl }: Exclude<RenewalFacts['info'], { none: string }>,
): RenewalPlan {
  const why = `the CA suggests ${day(start)} to ${day(end)}${explanationUrl ? `, see ${explanationUrl}` : ''}`;
  const latest = life.notAfter - lifeOf(life) * LAST_PART;
  const chosen = start + random * (end - start);
  return chosen <= latest
    ? { at: chosen, first: chosen, why }
    : { at: latest, first: latest, why: `${why}; that is too late` };
}

function byDays({ life, days, spread, random }: RenewalFacts, none: string): RenewalPlan {
  const from = renewalTime(life, days);
  const at = spread ? from + random * renewalSpread(life, days) : from;
  const left = (life.notAfter - from) / (24 * HOUR);
  const rule = days === undefined ? 'a third of its life' : days > left ? 'half of its life' : `${days} days`;
  return { at, first: at, why: `with ${rule} left, as ${none}` };
}

/** Steps of a day are too long for a certificate of six. */
function backoff(count: number, life: CertificateLife, random: number): number {
  const step = BACKOFF_STEPS[Math.min(count, BACKOFF_STEPS.length) - 1] ?? MINUTE;
  return Math.min(step, Math.max(lifeOf(life) * LAST_PART, MINUTE)) * (1 + random / 10);
}

const day = (time: number) => new Date(time).toISOString().replace(/:\d\d\.\d+Z/, 'Z');
