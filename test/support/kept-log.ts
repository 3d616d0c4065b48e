import { type Level, pino } from 'pino';
import type { Log } from '../../shared/base/basics.ts';

/** A logger that keeps its lines for a test to look at. */
export function keptLog(level: Level = 'trace'): {
  log: Log;
  lines: Record<string, unknown>[];
  text(): string;
} {
  const texts: string[] = [];
  const lines: Record<string, unknown>[] = [];
  const log = pino(
    { level },
    {
      write(line: string) {
        texts.push(line);
        lines.push(JSON.parse(line));
      },
    },
  );
  return { log, lines, text: () => texts.join('') };
}
