import { writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { getSystemErrorMessage } from 'node:util';
import type { DestinationStream, Logger, LoggerOptions } from 'pino';
import type { LogSink } from './log-sink.ts';
import { describeTrouble, judgeRedisError } from './redis-errors.ts';

// What all code stands on: the error that crosses floors, the clock, and the way of a line of the log.

/**
 * The one error that crosses floors. Each code is one *reaction*, not one cause. Services turn codes into
 * HTTP or into a retry; nothing below them knows a status.
 *
 * - `badCsr`: the CSR itself is at fault; sending it again is useless.
 * - `denied`: this client may not have these names, or the CA refuses to issue for them.
 * - `challengeFailed`: the CA looked for the proof and did not find it.
 * - `rateLimited`: the CA's rate limit is hit.
 * - `unavailable`: something that Quarry needs (the CA, Redis) cannot be reached or fails; it may work later.
 * - `gone`: the CA no longer knows the order or the account; start over.
 * - `unknown`: the CA does not know the certificate that is to be revoked.
 * - `misconfigured`: an operator has to act (accept terms, add an external account binding or a solver).
 * - `unexpected`: the CA's answer breaks the protocol; an operator has to read the log.
 */
export type IssuanceErrorCode =
  | 'badCsr'
  | 'denied'
  | 'challengeFailed'
  | 'rateLimited'
  | 'unavailable'
  | 'gone'
  | 'unknown'
  | 'misconfigured'
  | 'unexpected';

/** A problem document as a CA sends it (RFC 8555 section 6.7, RFC 9457). */
export type Problem = {
  type: string;
  detail?: string;
  status?: number;
  identifier?: { type: string; value: string };
  subproblems?: Problem[];
};

export type IssuanceErrorOptions = {
  cause?: unknown;
  /** Trying again makes sense from here on, in milliseconds since the epoch. */
  retryAfter?: number | undefined;
  /** The CA's own words, where the error came from the CA. */
  problem?: Problem | undefined;
  /** Of a refusal: the auth blocks that refuse, and how they know the client. */
  blocks?: readonly { name: string; by: string }[];
};

export class IssuanceError extends Error {
  override readonly name = 'IssuanceError';
  readonly code: IssuanceErrorCode;
  /** Milliseconds since the epoch. */
  readonly retryAfter: number | undefined;
  readonly problem: Problem | undefined;
  readonly blocks: IssuanceErrorOptions['blocks'];

  /** @param detail one line, fit to be shown to the client: no secrets, no internals */
  constructor(code: IssuanceErrorCode, detail: string, options: IssuanceErrorOptions = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryAfter = options.retryAfter;
    this.problem = options.problem;
    this.blocks = options.blocks;
  }
}

/**
 * Runs commands that a request depends on.
 *
 * @throws IssuanceError `unavailable` whatever goes wrong: a failing Redis is not the client's fault and not
 *   a bug; but for a value that is damaged, which has an error of its own
 */
export async function needingRedis<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    const known = error instanceof IssuanceError ? error : toDamage(error);
    if (known) throw known;
    throw new IssuanceError('unavailable', describeTrouble(judgeRedisError(error)), { cause: error });
  }
}

/** A value in Redis that nobody can have meant. @param key where it lies; nothing of the value is told */
export const damagedValue = (key: string) =>
  new IssuanceError(
    'misconfigured',
    `the value of ${key} in Redis is damaged; delete it to go on without it`,
  );

/**
 * What Redis says where a command or a script stumbles over a value, as damage; `undefined` for all else.
 *
 * @param keys those that the script was given
 */
export function toDamage(error: unknown, keys?: readonly string[]): IssuanceError | undefined {
  if (judgeRedisError(error)?.kind !== 'damaged') return undefined;
  const { command } = error as { command?: { args?: unknown[] } };
  return damagedValue(keys?.join(' or ') ?? String(command?.args?.[0]));
}

/** An `IssuanceError` on its way across the queue; a bug is `internal`: its details stay in a log. */
export type SignFailure = Pick<IssuanceErrorOptions, 'retryAfter' | 'problem'> & {
  code: IssuanceErrorCode | 'internal';
  detail: string;
};

const failureCodes: Record<SignFailure['code'], true> = {
  badCsr: true,
  denied: true,
  challengeFailed: true,
  rateLimited: true,
  unavailable: true,
  gone: true,
  unknown: true,
  misconfigured: true,
  unexpected: true,
  internal: true,
};

export const isFailureCode = (value: unknown) => Object.hasOwn(failureCodes, String(value));

export function toSignFailure(error: unknown): SignFailure {
  if (!(error instanceof IssuanceError)) return { code: 'internal', detail: 'internal error' };
  return { code: error.code, detail: error.message, retryAfter: error.retryAfter, problem: error.problem };
}

export function fromSignFailure({ code, detail, retryAfter, problem }: SignFailure): Error {
  return code === 'internal' ? new Error(detail) : new IssuanceError(code, detail, { retryAfter, problem });
}

/** Tells an error and its causes in one line, fit for a log or a start-up failure. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const inner = error instanceof AggregateError ? error.errors[0] : error.cause;
  const own = (error.message || (error as NodeJS.ErrnoException).code || error.name)
    .replace(/\s+/g, ' ')
    .trim();
  if (inner === undefined) return own;
  const below = describeError(inner);
  return own.includes(below) ? own : `${own}: ${below}`;
}

/** Tells why a file cannot be used in the system's words, without the path and the call. */
export function describeFileError(error: unknown): string {
  const { errno, message } = error as NodeJS.ErrnoException;
  return errno === undefined ? message : getSystemErrorMessage(errno);
}

/** All time comes from a clock, so that tests can turn it. */
export type Clock = {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Resolves after `ms` milliseconds, or at once for less than 0; rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
};

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: async (ms, signal) => {
    try {
      await delay(Math.max(ms, 0), undefined, signal ? { signal } : {});
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
};

/** This machine's clock, and one that only goes on evenly; both in milliseconds. */
export type OwnClocks = { local: Clock; elapsed(): number };
export const ownClocks: OwnClocks = { local: systemClock, elapsed: () => performance.now() };

/** A clock that shows so much more than `elapsed` as is known, and this machine's time until that is. */
export const steadyClock = (
  { local, elapsed }: OwnClocks,
  known: { offset?: number | undefined },
): Clock => ({
  now: () => (known.offset === undefined ? local.now() : Math.floor(elapsed() + known.offset)),
  sleep: local.sleep,
});

/**
 * A signal that fires with the first of several, or by `abort`, until it is disposed of. AbortSignal.any does
 * the same with a registry of weak references, which costs more than all that listens.
 */
export function linkSignals(
  ...signals: AbortSignal[]
): Disposable & { signal: AbortSignal; abort(reason: unknown): void } {
  const controller = new AbortController();
  const fire = (event: Event) => controller.abort((event.target as AbortSignal).reason);
  for (const signal of signals) {
    if (signal.aborted) controller.abort(signal.reason);
    signal.addEventListener('abort', fire);
  }
  return {
    signal: controller.signal,
    abort: reason => controller.abort(reason),
    [Symbol.dispose]() {
      for (const signal of signals) signal.removeEventListener('abort', fire);
    },
  };
}

export type Log = Logger;

/** What each line passes; `openLog` makes it, and changes it while lines pass. */
export type LineFlow = {
  sink: LogSink;
  /** Makes text for people of pino's JSON; `undefined` where that is wanted as it is. */
  render: ((line: string) => string) | undefined;
  /** The lowest level that passes, as a number: pino's children keep the level that they were made with. */
  lowest: number;
  /** How many lines could not be made into text. */
  unloggable: number;
};

/** Passes lines on to the sink, by one write(2) each where all is well. Neither part ever throws. */
export function passLines(flow: LineFlow): { stream: DestinationStream; logMethod: LogMethod } {
  const stream: DestinationStream & Record<symbol, unknown> = {
    [Symbol.for('pino.metadata')]: true,
    write(line: string) {
      const { sink } = flow;
      const text = flow.render?.(line) ?? line;
      let written = 0;
      try {
        if (sink.fd !== undefined) written = writeSync(sink.fd, text);
      } catch {} // the sink tries again, and learns why
      if (written < Buffer.byteLength(text))
        sink.put(text, (stream as { lastLevel?: number }).lastLevel ?? 30, written);
    },
  };
  return {
    stream,
    logMethod(args, method, level) {
      if (level < flow.lowest) return;
      try {
        method.apply(this, args);
      } catch {
        flow.unloggable += 1;
      }
    },
  };
}

type LogMethod = NonNullable<NonNullable<LoggerOptions['hooks']>['logMethod']>;
