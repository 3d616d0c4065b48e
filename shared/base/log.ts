import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { type DestinationStream, destination, type Logger, pino } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { describeError } from './errors.ts';

export type Log = Logger;

export type LogOptions = {
  level: string;
  /** `stdout`, `stderr`, `syslog`, or the path of a file. */
  destination: string;
  format: 'json' | 'text';
};

export type OpenLog = {
  log: Log;
  /** Opens a log file again after it was rotated; does nothing for other destinations. */
  reopen(): void;
};

/**
 * Opens the log. Callers log chosen fields only: what is never handed in can never leak.
 *
 * @throws Error when the file cannot be written or the system has no `logger` command for syslog
 */
export async function openLog({ level, destination: where, format }: LogOptions): Promise<OpenLog> {
  const pretty = prettyFactory({
    colorize: false,
    singleLine: true,
    ignore: 'hostname',
    translateTime: 'SYS:standard',
  });
  const render = format === 'text' ? (line: string) => pretty(line) : (line: string) => line;
  const sink = await openSink(where);
  const stream: DestinationStream & Record<symbol, unknown> = {
    [Symbol.for('pino.metadata')]: true,
    write(line: string) {
      sink.write(render(line), (stream as { lastLevel?: number }).lastLevel ?? 30);
    },
  };
  return { log: pino({ level, base: { pid: process.pid } }, stream), reopen: () => sink.reopen?.() };
}

type Sink = { write(text: string, level: number): void; reopen?(): void };

async function openSink(where: string): Promise<Sink> {
  if (where === 'syslog') return openSyslog();
  if (where === 'stdout') return toDescriptor(1);
  if (where === 'stderr') return toDescriptor(2);
  const file = destination({ dest: where, append: true, mkdir: true, sync: true });
  return { write: text => file.write(text), reopen: () => file.reopen() };
}

function toDescriptor(fd: number): Sink {
  const stream = destination({ fd, sync: true });
  return { write: text => stream.write(text) };
}

/** Node has no datagram sockets of the Unix kind, which `/dev/log` is: the system's own `logger` writes to it. */
async function openSyslog(): Promise<Sink> {
  const child = spawn('logger', ['--tag', 'quarry', '--prio-prefix'], { stdio: ['pipe', 'ignore', 'inherit'] });
  try {
    await once(child, 'spawn');
  } catch (error) {
    throw new Error('[logging] destination: syslog needs the logger command (Debian package bsdutils)', {
      cause: error,
    });
  }
  child.unref();
  const input: Writable = child.stdin;
  (input as Writable & { unref?(): void }).unref?.();
  input.on('error', error => process.stderr.write(`quarry: syslog is gone: ${describeError(error)}\n`));
  return { write: (text, level) => input.write(`<${DAEMON * 8 + toSeverity(level)}>${text}`) };
}

const DAEMON = 3;

/** RFC 5424 section 6.2.1 severities for pino's levels. */
function toSeverity(level: number): number {
  if (level >= 60) return 2;
  if (level >= 50) return 3;
  if (level >= 40) return 4;
  return level >= 30 ? 6 : 7;
}
