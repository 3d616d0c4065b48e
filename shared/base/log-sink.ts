import { closeSync, constants, fstatSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { getSystemErrorMessage } from 'node:util';

// Where the lines of a log go, and what becomes of those that cannot be written at once.

export type LogSink = {
  /** Takes a line with one write(2) while all is well: none waits, and none was lost that was not told of. */
  readonly fd: number | undefined;
  /** Takes a line of which so many bytes are written, or drops it. @param level one of pino's */
  put(text: string, level: number, written?: number): void;
  /** Opens a file again; where that fails, the old one is kept. @throws Error of the system */
  reopen?(): void;
  /** Waits for a moment, blocking all, for a reader that stalls to take what waits. */
  end?(): void;
  /** How many lines were dropped so far. */
  readonly dropped: number;
  /** Why lines are dropped, or wait, right now. */
  readonly trouble: string | undefined;
};

/** Makes the line that tells of so many lost ones. */
export type ToGapLine = (lost: number) => string;

/**
 * Opens a log's destination.
 *
 * @param where `stdout`, `stderr`, or the path of a file, whose folder is made where missing
 * @throws Error of the system when the file cannot be opened
 */
export function openSink(where: string, toGapLine: ToGapLine): LogSink {
  if (where === 'stdout') return new LineWriter(openStandard(1), toGapLine);
  if (where === 'stderr') return new LineWriter(openStandard(2), toGapLine);
  return new LineWriter(openFile(where), toGapLine, where);
}

const { O_APPEND, O_CREAT, O_NOCTTY, O_NONBLOCK, O_WRONLY } = constants;

/** Of a pipe with a name, no reader is waited for. */
function openFile(path: string): number {
  mkdirSync(dirname(path), { recursive: true });
  return openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o666);
}

/**
 * Opens stdout or stderr so that a full pipe refuses a line instead of waiting for its reader. Opened anew, a
 * pipe or a terminal refuses this process alone, and not those that share it.
 */
function openStandard(fd: 1 | 2): number {
  if (fstatSync(fd).isFile()) return fd;
  try {
    return openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY);
  } catch {
    // A socket cannot be opened anew, as systemd's journal is one. Making its stream has Node set O_NONBLOCK.
    void (fd === 1 ? process.stdout : process.stderr);
    return fd;
  }
}

const toTrouble = ({ code, errno, message }: NodeJS.ErrnoException) => {
  if (code === 'EAGAIN') return 'its reader stalls';
  return errno === undefined ? message : getSystemErrorMessage(errno);
};

/** Bytes that wait for a reader that stalls, at most. */
const MOST_WAITING = 1024 * 1024;

/** Milliseconds after which a reader that stalls is tried again: first, and at most. */
const FIRST_PAUSE = 5;
const LONGEST_PAUSE = 160;

/** Milliseconds that a process which ends gives a reader that stalls. */
const LAST_WORDS = 500;

/** What is left of a line; or of one that tells of a gap, for which so many lines were `lost`. */
type Waiting = { rest: Buffer; lost: number };

/**
 * Writes lines to a descriptor. A full pipe has them wait, up to a bound; whatever else fails, such as a full
 * disk, drops the line. Where lines can be written again, one goes before them that says how many were lost.
 */
class LineWriter implements LogSink {
  fd: number | undefined;
  dropped = 0;
  trouble: string | undefined;
  #open: number;
  readonly #toGapLine: ToGapLine;
  readonly #path: string | undefined;
  #waiting: Waiting[] = [];
  #bytes = 0;
  /** Whether a part of the first that waits is written. */
  #begun = false;
  /** Lines that were dropped and not told of. */
  #untold = 0;
  #retry: NodeJS.Timeout | undefined;

  constructor(fd: number, toGapLine: ToGapLine, path?: string) {
    this.fd = fd;
    this.#open = fd;
    this.#toGapLine = toGapLine;
    this.#path = path;
  }

  put(text: string, _level: number, written = 0) {
    this.fd = undefined;
    const line = Buffer.from(text);
    // Once lines were dropped, half of the room has to be free: many gaps would tell less than one.
    const room = this.#untold > 0 ? MOST_WAITING / 2 : MOST_WAITING;
    if (this.#bytes + line.length > room) return this.#drop();
    this.#tellOfGap();
    this.#enqueue({ rest: line.subarray(written), lost: 0 });
    this.#begun ||= written > 0;
    if (!this.#retry) this.#send(FIRST_PAUSE);
  }

  reopen(): void {
    if (this.#path === undefined) return;
    const before = this.#open;
    this.#open = openFile(this.#path);
    closeSync(before);
    if (this.#begun) this.#giveUp(this.#take());
    this.#send(FIRST_PAUSE);
  }

  #enqueue(waiting: Waiting): void {
    this.#waiting.push(waiting);
    this.#bytes += waiting.rest.length;
  }

  /** Takes the first that waits away. */
  #take(): Waiting | undefined {
    const first = this.#waiting.shift();
    this.#bytes -= first?.rest.length ?? 0;
    this.#begun = false;
    return first;
  }

  #tellOfGap(): void {
    if (this.#untold === 0) return;
    this.#enqueue({ rest: Buffer.from(this.#toGapLine(this.#untold)), lost: this.#untold });
    this.#untold = 0;
  }

  #drop(): void {
    this.dropped += 1;
    this.#untold += 1;
  }

  #giveUp(waiting: Waiting | undefined): void {
    if (waiting?.lost === 0) this.#drop();
    else this.#untold += waiting?.lost ?? 0;
  }

  /** Writes what waits. @param pause milliseconds until the next try, where the reader takes nothing */
  #send(pause: number) {
    const before = this.#bytes;
    const error = this.#write();
    this.trouble = error && toTrouble(error);
    if (error?.code === 'EAGAIN') return this.#tryAgain(this.#bytes < before ? FIRST_PAUSE : pause);
    this.#endTries();
    if (error) this.#dropAll();
    else this.fd = this.#open;
  }

  /** @returns why not all could be written */
  #write(): NodeJS.ErrnoException | undefined {
    try {
      for (;;) {
        const [first] = this.#waiting;
        if (first) this.#writeOne(first);
        else if (this.#untold > 0) this.#tellOfGap();
        else return undefined;
      }
    } catch (error) {
      return error as NodeJS.ErrnoException;
    }
  }

  #writeOne(first: Waiting): void {
    const written = writeSync(this.#open, first.rest);
    if (written === first.rest.length) return void this.#take();
    first.rest = first.rest.subarray(written);
    this.#bytes -= written;
    this.#begun = true;
  }

  /** All but a line that is begun: the next one must not be glued to it. */
  #dropAll(): void {
    const whole = this.#waiting.splice(this.#begun ? 1 : 0);
    for (const waiting of whole) this.#giveUp(waiting);
    this.#bytes = this.#waiting[0]?.rest.length ?? 0;
  }

  #tryAgain(pause: number): void {
    clearTimeout(this.#retry);
    const next = Math.min(2 * pause, LONGEST_PAUSE);
    this.#retry = setTimeout(() => this.#send(next), pause).unref();
  }

  #endTries(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
  }

  end(): void {
    const sleeper = new Int32Array(new SharedArrayBuffer(4));
    const end = performance.now() + LAST_WORDS;
    while (this.#write()?.code === 'EAGAIN' && performance.now() < end)
      Atomics.wait(sleeper, 0, 0, FIRST_PAUSE);
  }
}
