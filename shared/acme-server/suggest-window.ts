import type { RenewalInfo } from '../acme/renewal-info.ts';
import { type CertificateLife, LAST_PART, lifeOf, renewalTime } from '../pki/life.ts';
import { isTimeToAsk, type WindowMemory } from '../renewal/ask-window.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A certificate of a shorter life is renewed with half of it left. */
const SHORT_LIFE = 10 * DAY;
/** Clients that know it already are to hear soon of a certificate that is taken back. */
const LONGEST_PAUSE = 6 * HOUR;
const SHORTEST_PAUSE = MINUTE;
/** Clients read whole seconds, and Caddy (certmagic) takes no window of less than two of them. */
const SHORTEST_WINDOW = MINUTE;
/** While the CA has not said anything new. */
const SOON = 5 * MINUTE;

/** What decides when a client is to renew its certificate. Times in milliseconds since the epoch. */
export type WindowFacts = CertificateLife & {
  /** When it was revoked. */
  revoked?: number | undefined;
  /** When an operator wanted it reissued. */
  reissue?: number | undefined;
};

/** What a client is told of its certificate (RFC 9773 section 4.2). */
type Suggestion = Pick<RenewalInfo, 'start' | 'end' | 'explanationUrl'> & {
  /** When it is to ask again. */
  askAgain: number;
};

/**
 * Suggests when to renew a certificate: what its CA says, in the past where it is revoked or to be reissued,
 * and by its life where the CA says nothing.
 *
 * @param memory what the CA has said, as far as anybody knows
 */
export function suggestWindow(facts: WindowFacts, memory: WindowMemory | undefined, now: number): Suggestion {
  const past = pastWindow(facts);
  const info = memory && 'start' in memory.info ? memory.info : undefined;
  const { start, end } = past ?? (info && timelyWindow(info, facts)) ?? ownWindow(facts);
  const explained = info?.explanationUrl === undefined ? {} : { explanationUrl: info.explanationUrl };
  return { start, end, ...explained, askAgain: now + (past ? HOUR : pauseOf(memory, now)) };
}

/** Whoever reads it is to renew at once. */
function pastWindow({ revoked, reissue }: WindowFacts) {
  const since = revoked ?? reissue;
  return since === undefined ? undefined : { start: since - HOUR, end: since - MINUTE };
}

/** A window that lies too late is cut: the certificate must not end before its successor is there. */
function timelyWindow({ start, end }: Pick<RenewalInfo, 'start' | 'end'>, life: CertificateLife) {
  const latest = Math.floor(life.notAfter - lifeOf(life) * LAST_PART);
  if (start + SHORTEST_WINDOW > latest) return undefined;
  const cut = Math.min(end, latest);
  // What is short grows backwards, so that a window in the past stays there.
  return { start: Math.min(start, cut - SHORTEST_WINDOW), end: cut };
}

function ownWindow(life: CertificateLife) {
  const isShort = lifeOf(life) < SHORT_LIFE;
  const start = Math.floor(renewalTime(life, isShort ? Number.POSITIVE_INFINITY : undefined));
  return { start, end: Math.floor(start + lifeOf(life) * LAST_PART) };
}

function pauseOf(memory: WindowMemory | undefined, now: number): number {
  if (!memory || isTimeToAsk(memory, now)) return SOON;
  const left = (memory.askAgain ?? now + LONGEST_PAUSE) - now;
  return Math.min(Math.max(left, SHORTEST_PAUSE), LONGEST_PAUSE);
}
