import type { CaConnection } from '../acme/connection.ts';
import { fetchRenewalInfo, type RenewalInfo } from '../acme/renewal-info.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import type { CertificateLife } from '../pki/life.ts';
import type { ExplainedWindow, RenewalFacts } from './renewal-window.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** No question is planned for later; one that is was planned by a clock that was ahead. */
const LATEST = 48 * HOUR;

/** What is known of when the CA wants a certificate renewed; times in milliseconds since the epoch. */
export type WindowMemory = {
  info: RenewalFacts['info'];
  /** When to ask the CA; absent: not at all. */
  askAgain?: number | undefined;
  /** Failed questions in a row. */
  failures: number;
};

type WindowLook = WindowMemory & {
  /** Where the CA has given a page that was not known before. */
  explained?: ExplainedWindow;
  /** Why the CA could not be asked, in one line. */
  fault?: string;
};

/** A question's answer, or why there is none. */
export type WindowAnswer =
  | { info: RenewalInfo | undefined }
  | { code: string; retryAfter?: number | undefined; reason: string };

/**
 * Asks the CA when to renew a certificate, if it is time to ask.
 *
 * @param certificate `id` as `renewalInfoId` makes it
 * @returns what is known now; rejects only with the signal's reason
 */
export async function askWindow(
  connection: CaConnection,
  { id, life }: { id: string; life: CertificateLife },
  known: WindowMemory,
  signal: AbortSignal,
): Promise<WindowLook> {
  const { clock } = connection;
  if (!isTimeToAsk(known, clock.now())) return known;
  const answer = await ask(connection, id, signal);
  return learnWindow(known, answer, life, clock.now(), Math.random());
}

export const isTimeToAsk = ({ askAgain }: Pick<WindowMemory, 'askAgain'>, now: number) =>
  askAgain !== undefined && (askAgain <= now || askAgain >= now + LATEST);

async function ask(connection: CaConnection, id: string, signal: AbortSignal): Promise<WindowAnswer> {
  try {
    return { info: await fetchRenewalInfo(connection, id, signal) };
  } catch (error) {
    signal.throwIfAborted();
    const known = error instanceof IssuanceError ? error : { code: 'unexpected', retryAfter: undefined };
    return { code: known.code, retryAfter: known.retryAfter, reason: describeError(error) };
  }
}

/**
 * What an answer adds to what was known. While the CA cannot be asked, what it said before still holds.
 *
 * @param random in [0, 1), a new one for each answer
 */
export function learnWindow(
  known: WindowMemory,
  answer: WindowAnswer,
  life: CertificateLife,
  now: number,
  random: number,
): WindowLook {
  if (!('info' in answer)) {
    const failures = known.failures + 1;
    const info =
      'none' in known.info ? { none: `renewal information cannot be had: ${answer.reason}` } : known.info;
    return {
      info,
      failures,
      askAgain: nextQuestion(answer, failures, life, now, random),
      fault: answer.reason,
    };
  }
  const askAgain = nextQuestion(answer, 0, life, now, random);
  if (!answer.info) return { info: { none: 'the CA has no renewal information' }, failures: 0, askAgain };
  const { start, end, explanationUrl } = answer.info;
  if (explanationUrl === undefined) return { info: { start, end }, failures: 0, askAgain };
  const info = { start, end, explanationUrl };
  const isKnown = 'start' in known.info && known.info.explanationUrl === explanationUrl;
  return { info, failures: 0, askAgain, ...(!isKnown && { explained: info }) };
}

/**
 * When to ask the CA again, so that the questions of many certificates stay spread.
 *
 * @returns `undefined` where the certificate has expired
 */
function nextQuestion(
  answer: WindowAnswer,
  failures: number,
  life: CertificateLife,
  now: number,
  random: number,
): number | undefined {
  if (life.notAfter <= now) return undefined;
  if ('info' in answer) return now + ((answer.info?.askAgain ?? now + 20 * HOUR) - now) * (1 + random / 10);
  const { code, retryAfter = 0 } = answer;
  if (code !== 'unavailable') return Math.max(retryAfter, now + MINUTE) + random * HOUR;
  const wait = Math.min(MINUTE * 2 ** (failures - 1), 6 * HOUR) * (0.75 + random / 2);
  return Math.max(Math.min(retryAfter, now + 24 * HOUR), now + wait);
}
