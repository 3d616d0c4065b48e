import { pino } from 'pino';
import { type LineFlow, type Log, passLines } from './basics.ts';
import { describeError } from './errors.ts';
import { type LogSink, openSink, type ToGapLine } from './log-sink.ts';

type LogOptions = {
  level: string;
  /** `stdout`, `stderr`, the path of a file, or what opens another sink. */
  destination: string | ((toGapLine: ToGapLine) => Promise<LogSink>);
  format: 'json' | 'text';
};

export type OpenLog = {
  log: Log;
  /** Opens a log file again after it was rotated, or keeps the old one and says so; else does nothing. */
  reopen(): void;
  /** Changes the level of the log and of all its children. @param level as `openLog` takes it */
  setLevel(level: string): void;
  /** The last words of a process that exits: a reader that stalls has half a second to take what waits. */
  end(): void;
  /** How many lines were lost so far. */
  lost(): number;
  /** What an operator should know who cannot read it here: a line at most. */
  notes(): string[];
};

/**
 * Opens the log. Callers log chosen fields only: a field that is not handed in cannot leak. A line that
 * cannot be written is dropped and counted: logging never throws, and waits for no reader.
 *
 * @throws Error when the file cannot be written, or what opening the sink throws
 */
export async function openLog({ level, destination, format }: LogOptions): Promise<OpenLog> {
  const render = format === 'text' ? await openTextFormat() : undefined;
  const toGapLine = (lost: number) => render?.(toGap(lost)) ?? toGap(lost);
  const sink =
    typeof destination === 'string' ? openSink(destination, toGapLine) : await destination(toGapLine);
  const flow: LineFlow = { sink, render, lowest: toNumber(level), unloggable: 0 };
  const { stream, logMethod } = passLines(flow);
  const log = pino({ level: 'trace', base: { pid: process.pid }, hooks: { logMethod } }, stream);
  return {
    log,
    reopen() {
      try {
        sink.reopen?.();
      } catch (error) {
        const reason = describeError(error);
        log.error({ reason }, 'the log file cannot be opened again; the old one is kept');
      }
    },
    setLevel: name => {
      flow.lowest = toNumber(name);
    },
    end: () => sink.end?.(),
    notes: () => (sink.trouble === undefined ? [] : [`the log cannot be written: ${sink.trouble}`]),
    lost: () => sink.dropped + flow.unloggable,
  };
}

const toNumber = (level: string) => pino.levels.values[level] ?? Number.POSITIVE_INFINITY;

function toGap(lost: number): string {
  const gap = { level: 40, time: Date.now(), pid: process.pid, lost, msg: 'log lines were lost' };
  return `${JSON.stringify(gap)}\n`;
}

async function openTextFormat(): Promise<(line: string) => string> {
  const { prettyFactory } = await import('pino-pretty');
  return prettyFactory({
    colorize: false,
    singleLine: true,
    ignore: 'hostname',
    translateTime: 'SYS:standard',
  });
}
