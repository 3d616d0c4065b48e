import { type DestinationStream, destination, type Logger, pino } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { openSyslog } from './syslog.ts';

export type Log = Logger;

type LogOptions = {
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
 * Opens the log. Callers log chosen fields only: a field that is not handed in cannot leak.
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
  if (where === 'syslog') return openSyslog('[logging] destination: syslog');
  if (where === 'stdout') return toDescriptor(1);
  if (where === 'stderr') return toDescriptor(2);
  const file = destination({ dest: where, append: true, mkdir: true, sync: true });
  return { write: text => file.write(text), reopen: () => file.reopen() };
}

function toDescriptor(fd: number): Sink {
  const stream = destination({ fd, sync: true });
  return { write: text => stream.write(text) };
}
