import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A line of a member's log. */
export type LogLine = ParsedLine & { member: string };

/** `time` is in milliseconds since the epoch. */
type ParsedLine = { level: number; time: number; msg: string; [field: string]: unknown };

export type Logs = {
  lines: LogLine[];
  /** What was written past the logs: by Node when it dies, for example. */
  stray: string[];
  /** All of it as it is. */
  text: string;
};

/** Reads what all members have written into the folder. */
export async function readLogs(dir: string): Promise<Logs> {
  const logs: Logs = { lines: [], stray: [], text: '' };
  for (const file of (await readdir(dir)).filter(name => /\.(log|stray)$/.test(name)).sort()) {
    const text = await readFile(join(dir, file), 'utf8');
    const member = file.replace(/\.\w+$/, '');
    logs.text += text;
    for (const line of text.split('\n').filter(line => line !== '')) {
      const parsed = parseLine(line);
      if (parsed) logs.lines.push({ ...parsed, member });
      else logs.stray.push(`${member}: ${line}`);
    }
  }
  return logs;
}

/**
 * Undefined for what is no line of a log; such as half a line, where a process was killed in the middle of
 * it.
 */
function parseLine(line: string): ParsedLine | undefined {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
