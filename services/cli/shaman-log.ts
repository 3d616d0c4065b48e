import { type Level, pino } from 'pino';
import type { Log } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import { openSyslog, type Syslog } from '../../shared/base/syslog.ts';

/** Python's levels by their numbers, and pino's names for the same. */
const levels: [threshold: number, word: string, level: Level][] = [
  [5, 'DEBUG', 'trace'],
  [10, 'DEBUG', 'debug'],
  [20, 'INFO', 'info'],
  [30, 'WARNING', 'warn'],
  [40, 'ERROR', 'error'],
  [50, 'CRITICAL', 'fatal'],
];

/** What a `logThreshold` lets pass, as pino has it. */
export function toLogLevel(threshold: number): string {
  return levels.find(([least]) => threshold <= least)?.[2] ?? 'silent';
}

/**
 * The log of a shaman run, as concorde writes it: lines `LEVEL message`, to standard output and to syslog.
 *
 * @param level one of pino's
 * @param write to standard output; takes whole lines
 */
export async function openShamanLog(
  level: string,
  write: (text: string) => void,
): Promise<AsyncDisposable & { log: Log }> {
  const syslog = await openSyslog('the log', lost => `WARNING ${lost} log lines were lost\n`).catch(error => {
    write(`WARNING ${describeError(error)}\n`); // a container has none, and its standard output is kept
    return undefined;
  });
  return {
    log: toLog(level, write, syslog),
    [Symbol.asyncDispose]: async () => syslog?.[Symbol.asyncDispose](),
  };
}

function toLog(level: string, write: (text: string) => void, syslog: Syslog | undefined): Log {
  return pino(
    { level, base: undefined, timestamp: false },
    {
      write(line: string) {
        const { level, msg, reason } = JSON.parse(line) as { level: number; msg: string; reason?: string };
        const word = levels.find(([, , name]) => pino.levels.values[name] === level)?.[1] ?? 'INFO';
        const text = `${word} ${msg}${reason === undefined ? '' : `: ${reason}`}\n`;
        write(text);
        syslog?.put(text, level);
      },
    },
  );
}
