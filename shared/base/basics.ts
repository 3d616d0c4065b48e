import { writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { DestinationStream, Logger, LoggerOptions } from 'pino';
import type { LogSink } from './log-sink.ts';

// What all code that runs stands on: the clock, signals that end a wait, and the way of a line of the log.

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
