import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import type { LogSink, ToGapLine } from './log-sink.ts';

export type Syslog = AsyncDisposable & LogSink;

/** Bytes that wait for a `logger` that stalls, at most. */
const MOST_WAITING = 1024 * 1024;

/** Milliseconds until a `logger` that ended is started again: first, and at most. */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 60_000;

/**
 * Opens the system's log. Node has no Unix datagram sockets, which `/dev/log` is, so the `logger` command
 * writes to it. Where that ends, lines are dropped until it runs again. Disposing waits until it has written
 * everything.
 *
 * @param who names the option that asks for it, for the error
 * @param toGapLine for lines that were dropped
 * @throws Error when the system has no `logger` command
 */
export async function openSyslog(who: string, toGapLine: ToGapLine): Promise<Syslog> {
  try {
    const first = startLogger();
    await once(first, 'spawn');
    return new LoggerSink(first, toGapLine);
  } catch (error) {
    throw new Error(`${who} needs the logger command (Debian package bsdutils)`, { cause: error });
  }
}

type Logger = ChildProcess & { stdin: Writable & { unref?(): void } };

function startLogger(): Logger {
  const child = spawn('logger', ['--tag', 'quarry', '--prio-prefix'], {
    stdio: ['pipe', 'ignore', 'inherit'],
  }) as Logger;
  child.unref();
  child.stdin.unref?.();
  return child;
}

class LoggerSink implements Syslog {
  readonly fd = undefined;
  dropped = 0;
  readonly #toGapLine: ToGapLine;
  /** Lines that were dropped and not told of. */
  #untold = 0;
  #child: Logger | undefined;
  #pause = FIRST_PAUSE;
  #retry: NodeJS.Timeout | undefined;

  constructor(child: Logger, toGapLine: ToGapLine) {
    this.#toGapLine = toGapLine;
    this.#watch(child);
  }

  get trouble(): string | undefined {
    return this.#child === undefined ? "syslog's logger has ended" : undefined;
  }

  put(text: string, level: number) {
    const { stdin } = this.#child ?? {};
    if (stdin === undefined || stdin.writableLength + text.length > MOST_WAITING) return this.#drop();
    if (this.#untold > 0) stdin.write(`${prefix(40)}${this.#toGapLine(this.#untold)}`);
    this.#untold = 0;
    stdin.write(`${prefix(level)}${text}`, this.#onWritten);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#retry);
    const child = this.#child;
    this.#child = undefined;
    if (!child) return;
    child.ref();
    const closed = once(child, 'close');
    child.stdin.end();
    await closed;
  }

  readonly #onWritten = (error?: Error | null) => {
    if (error) this.#drop();
    else this.#pause = FIRST_PAUSE;
  };

  #drop(): void {
    this.dropped += 1;
    this.#untold += 1;
  }

  #watch(child: Logger): void {
    this.#child = child;
    child.stdin.on('error', () => {}); // each line is told of it
    child.on('error', () => this.#startLater(child));
    child.on('exit', () => this.#startLater(child));
  }

  #startLater(ended: Logger): void {
    if (this.#child !== ended) return;
    this.#child = undefined;
    this.#retry = setTimeout(() => this.#watch(startLogger()), this.#pause).unref();
    this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE);
  }
}

const DAEMON = 3;

const prefix = (level: number) => `<${DAEMON * 8 + toSeverity(level)}>`;

/** Turns pino's levels into severities (RFC 5424 section 6.2.1). */
function toSeverity(level: number): number {
  if (level >= 60) return 2;
  if (level >= 50) return 3;
  if (level >= 40) return 4;
  return level >= 30 ? 6 : 7;
}
