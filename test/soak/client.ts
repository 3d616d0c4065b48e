import { setTimeout as delay } from 'node:timers/promises';
import { type Answer, ask } from '../support/ask.ts';
import type { PlannedPost } from './plan-posts.ts';

/** How it went for one client, from its first try to its last. */
export type PostRecord = {
  post: PlannedPost;
  /** Milliseconds of `performance.now()`. */
  startedAt: number;
  endedAt: number;
  /** One word for each try: a status, or why there was no answer. */
  trail: string[];
  /** X-Request-Id of the last answer, by which the logs know it. */
  requestId?: string;
  end: ClientEnd;
};

export type ClientEnd =
  | { end: 'certificate'; chain: string; account: string }
  /** A refusal that says why: any 4xx but for those that a client can mend by asking again. */
  | { end: 'refused'; status: number; reason: string }
  /** A 500, or something that no client can understand. */
  | { end: 'broken'; status: number; reason: string }
  /** Neither a certificate nor a refusal in time. */
  | { end: 'lost' };

export type ClientParts = {
  /** Base URLs. */
  intakes: string[];
  csrPem: string;
  /** Fires when nobody waits any more. */
  patience: AbortSignal;
};

/**
 * An intake holds a client for ten seconds (`wait` in system.ts); a try that takes longer than this hangs.
 */
const tryMs = 45_000;
const longestPauseMs = 8_000;
const pauseWithoutAnswerMs = 1_000;

/**
 * A client as services/docs/http.md describes it: on a connection that fails, and on a 503, it posts the same
 * CSR again, after what Retry-After says, to the other intake; after a 202 it fetches the result.
 */
export async function runClient(post: PlannedPost, parts: ClientParts): Promise<PostRecord> {
  const startedAt = performance.now();
  const trail: string[] = [];
  let requestId: string | undefined;
  let end: ClientEnd | undefined;
  let location: string | undefined;

  for (let tries = 0; !end && !parts.patience.aborted; tries++) {
    const intake = parts.intakes[(post.intake + tries) % parts.intakes.length] ?? '';
    const answer = await tryOnce(intake, location, post, parts);
    trail.push(typeof answer === 'string' ? answer : toWord(answer, location));
    if (typeof answer !== 'string') {
      requestId = `${answer.headers['x-request-id']}`;
      end = toEnd(answer, location);
      location = nextLocation(answer, location);
    }
    if (!end) await delay(toPause(answer), undefined, { signal: parts.patience }).catch(() => {});
  }
  return { post, startedAt, endedAt: performance.now(), trail, requestId, end: end ?? { end: 'lost' } };
}

/** @returns what the intake answered, or in a word why it did not */
async function tryOnce(
  intake: string,
  location: string | undefined,
  { async }: PlannedPost,
  { csrPem, patience }: ClientParts,
): Promise<Answer | string> {
  const hanging = AbortSignal.timeout(tryMs);
  const options = {
    ...(async && { headers: { Prefer: 'respond-async' } }),
    signal: AbortSignal.any([patience, hanging]),
    ...(location === undefined && { method: 'POST', body: csrPem }),
  };
  try {
    return await ask(intake + (location ?? '/sign'), options);
  } catch (error) {
    if (patience.aborted) return 'impatient';
    return hanging.aborted ? 'hung' : ((error as NodeJS.ErrnoException).code ?? `${error}`);
  }
}

function toEnd({ status, body, headers }: Answer, location: string | undefined): ClientEnd | undefined {
  const reason = body.trim();
  if (status === 200) return { end: 'certificate', chain: body, account: `${headers['x-quarry-account']}` };
  if (status === 202 || status === 503) return undefined;
  if (status === 404 && location !== undefined) return undefined; // Redis has lost the job: it posts again
  return status >= 400 && status < 500
    ? { end: 'refused', status, reason }
    : { end: 'broken', status, reason };
}

/** Where to fetch the result; undefined: the CSR has to be posted. */
function nextLocation({ status, headers }: Answer, location: string | undefined): string | undefined {
  if (status === 202) return headers.location ?? location;
  return status === 503 ? location : undefined;
}

function toPause(answer: Answer | string): number {
  if (typeof answer === 'string') return pauseWithoutAnswerMs;
  const seconds = Number(answer.headers['retry-after'] ?? 0);
  return Math.min(Math.max(seconds * 1000, pauseWithoutAnswerMs), longestPauseMs);
}

/** A 503, 429 or 202 that does not say when to come back is a fault of its own. */
function toWord({ status, headers }: Answer, location: string | undefined): string {
  const silent = [202, 429, 503].includes(status) && !(Number(headers['retry-after']) > 0);
  return `${location === undefined ? '' : 'GET '}${status}${silent ? ' without Retry-After' : ''}`;
}
