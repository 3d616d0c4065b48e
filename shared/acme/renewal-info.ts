import { IssuanceError } from '../base/errors.ts';
import { readCertificateIds } from '../pki/certificate-ids.ts';
import { type CaConnection, readDirectory, sendRequest } from './connection.ts';
import { type HttpAnswer, parseRetryAfter } from './objects.ts';
import { toIssuanceError } from './problem.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/**
 * RFC 9773 section 4.3.2: reasonable limits are one minute and one day; where the CA says nothing, six hours.
 */
const SHORTEST_PAUSE = MINUTE;
const LONGEST_PAUSE = 24 * HOUR;
const USUAL_PAUSE = 6 * HOUR;
const LONGEST_URL = 500;

/**
 * When the CA suggests to renew a certificate (RFC 9773 section 4.2). Times in milliseconds since the epoch.
 */
export type RenewalInfo = {
  start: number;
  /** Later than `start`. */
  end: number;
  /** A page for people that says why the CA suggests this window. */
  explanationUrl?: string;
  /** When to ask again. */
  askAgain: number;
};

/**
 * The certificate's name in renewal information and in `replaces` (RFC 9773 section 4.1): key identifier and
 * serial, each in base64url, with a dot between them.
 *
 * @param pemOrDer of PEM the first certificate is meant
 * @returns `undefined` where the certificate has no Authority Key Identifier
 * @throws Error when the certificate is damaged
 */
export function renewalInfoId(pemOrDer: string | Buffer): string | undefined {
  const { keyIdentifier, serial } = readCertificateIds(pemOrDer);
  return keyIdentifier && `${keyIdentifier.toString('base64url')}.${serial.toString('base64url')}`;
}

/** 20 bytes each, as a rule, of the key identifier and the serial number; CAs may take more. */
const LONGEST_ID = 200;

/** Whether a text is one that `renewalInfoId` may have made, in its one spelling. */
export function isRenewalInfoId(text: string): boolean {
  const parts = text.length <= LONGEST_ID ? text.split('.') : [];
  const isSpelt = (part: string) =>
    part !== '' && Buffer.from(part, 'base64url').toString('base64url') === part;
  return parts.length === 2 && parts.every(isSpelt);
}

/**
 * Asks the CA when to renew; an unsigned GET, which needs no account (RFC 9773 section 4.1).
 *
 * @param id as `renewalInfoId` makes it
 * @returns `undefined` where the CA has no renewal information at all
 * @throws IssuanceError `unavailable` when the CA cannot be reached or fails, which is worth a retry soon;
 *   every other code says that asking is useless before its `retryAfter`, which is then set
 */
export async function fetchRenewalInfo(
  connection: CaConnection,
  id: string,
  signal: AbortSignal,
): Promise<RenewalInfo | undefined> {
  const { renewalInfo } = (await readDirectory(connection, signal)).urls;
  if (renewalInfo === undefined) return undefined;
  const answer = await ask(connection, `${renewalInfo.replace(/\/$/, '')}/${id}`, signal);
  return parseRenewalInfo(answer, connection.clock.now());
}

async function ask(connection: CaConnection, url: string, signal: AbortSignal): Promise<HttpAnswer> {
  try {
    return await sendRequest(connection, { url, signal });
  } catch (error) {
    // It did answer, but with what will not be better in a moment.
    if (
      error instanceof IssuanceError &&
      (error.code !== 'unavailable' || error.cause instanceof SyntaxError)
    ) {
      throw useless(connection.clock.now(), error.message);
    }
    throw error;
  }
}

/**
 * Reads the CA's answer, which is hostile input.
 *
 * @param now milliseconds since the epoch
 */
function parseRenewalInfo({ status, headers, data }: HttpAnswer, now: number): RenewalInfo {
  const retryAfter = parseRetryAfter(headers['retry-after'], now);
  if (status !== 200)
    throw toFailure(toIssuanceError({ status, headers, data, retryAfter }, 'no renewal information'), now);
  const { suggestedWindow, explanationURL } = toObject(data);
  const window = toObject(suggestedWindow);
  const [start, end] = [parseTime(window.start), parseTime(window.end)];
  if (start === undefined || end === undefined) throw useless(now, 'no suggested window');
  if (end <= start) throw useless(now, 'the suggested window ends before it starts');
  const explanationUrl = parseExplanation(explanationURL);
  return { start, end, ...(explanationUrl && { explanationUrl }), askAgain: clampPause(retryAfter, now) };
}

/** A CA that fails is asked again soon; whatever else it says, after the usual pause or when it wants. */
function toFailure(error: IssuanceError, now: number): IssuanceError {
  if (error.code === 'unavailable') return error;
  return new IssuanceError(error.code, error.message, {
    problem: error.problem,
    retryAfter: clampPause(error.retryAfter, now),
  });
}

const useless = (now: number, why: string) =>
  new IssuanceError('unexpected', `the CA's renewal information cannot be used: ${why}`, {
    retryAfter: now + USUAL_PAUSE,
  });

function clampPause(at: number | undefined, now: number): number {
  return at === undefined
    ? now + USUAL_PAUSE
    : Math.min(Math.max(at, now + SHORTEST_PAUSE), now + LONGEST_PAUSE);
}

/** RFC 3339 section 5.6; Date.parse alone would read much else. */
function parseTime(value: unknown): number | undefined {
  if (typeof value !== 'string') return undefined;
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/i.test(value)) return undefined;
  const time = Date.parse(value.toUpperCase());
  return Number.isNaN(time) ? undefined : time;
}

/** It is shown to people, in logs and in messages: a web page's address or nothing. */
function parseExplanation(value: unknown): string | undefined {
  const url = typeof value === 'string' && value.length <= LONGEST_URL ? URL.parse(value) : null;
  return url && /^https?:$/.test(url.protocol) && !url.username && !url.password ? url.href : undefined;
}

function toObject(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
