import { parseArgs } from 'node:util';
import { describeError } from '../../shared/base/errors.ts';
import { isConfigPath } from '../../shared/config/config-files.ts';
import type { Environment } from '../../shared/config/environment.ts';
import { guess } from '../../shared/config/guess.ts';

/** What a command may know and touch besides its words. */
export type Io = {
  env: Environment;
  /** To standard output; takes whole lines. Who writes much waits until it has gone. */
  write(text: string): Promise<void> | undefined;
};

/** One word of `quarry`, such as `up`. */
export type Command = {
  /** What follows `quarry`, such as `up FILE…`; a line for each form (form.ts). */
  usage: string[];
  /** All of its forms, for completion, where `usage` is but a summary of them. */
  forms?: string[];
  /** What it does, in one line. */
  summary: string;
  /** A whole line to copy. */
  example: string;
  /** A help of its own. @param words what stands beside `--help` */
  describe?(words: string[]): string;
  /** @throws UsageError, ConfigError, or an Error with one line */
  run(words: string[], io: Io): Promise<void>;
};

/** Wrong words on the command line; exit code 2, as for a wrong configuration. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Words that are no options, where a command has none. */
export function readWords(words: string[]): string[] {
  return readOptions(words, {}).positionals;
}

type OptionConfigs = NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>['options']>;

/** @throws UsageError for an option that is not among `options`, or that lacks its value */
export function readOptions<T extends OptionConfigs>(words: string[], options: T) {
  try {
    return parseArgs({ args: words, options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(describeFault(error, Object.keys(options)));
  }
}

/** Node's words for it tell programmers what to do. */
function describeFault(error: unknown, names: string[]): string {
  const said = describeError(error);
  const [, unknown] = /^Unknown option '-*([^']*)'/.exec(said) ?? [];
  if (unknown !== undefined) return describeUnknown(unknown, names);
  const [, name, rest = ''] = /^Option '([^ ']+)[^']*' (.*)$/.exec(said) ?? [];
  if (name === undefined) return `${said}; see quarry --help`;
  if (rest.includes('does not take')) return `${name} takes no value`;
  const isAmbiguous = rest.includes('ambiguous');
  return `${name} needs a value${isAmbiguous ? `, and one that begins with - is written ${name}=-…` : ''}`;
}

function describeUnknown(name: string, names: string[]): string {
  const hyphened = (one: string) => `${one.length > 1 ? '--' : '-'}${one}`;
  const what = `there is no option ${hyphened(name)} here`;
  if (names.length === 0) return `${what}: this command has none`;
  return `${what}${guess(hyphened(name), names.map(hyphened), 'known')}`;
}

/** The configuration files that a command is given, one at least. */
export function needFiles(command: string, files: string[]): string[] {
  if (files.length > 0) return files;
  throw new UsageError(`${command} needs a configuration file: quarry ${command} main.ini`);
}

/** Files are what exists as a file or a folder of INI files, or ends in .ini; all other words are names. */
export async function splitWords(words: string[]): Promise<{ names: string[]; files: string[] }> {
  const isFile = async (word: string) => word.endsWith('.ini') || isConfigPath(word);
  const [names, files]: [string[], string[]] = [[], []];
  for (const word of words) ((await isFile(word)) ? files : names).push(word);
  return { names, files };
}

/** A date is its first moment in UTC. @throws UsageError */
export function parseTime(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const known = /^\d{4}-\d\d-\d\d([Tt]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d))?$/.test(text);
  const time = known ? Date.parse(text.toUpperCase()) : Number.NaN;
  if (!Number.isNaN(time)) return time;
  throw new UsageError(`${text} is neither a date nor a time such as 2026-11-20T14:30:00Z`);
}
