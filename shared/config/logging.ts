import { type Environment, readVariable } from './environment.ts';
import { inCode, type OptionRows } from './option-rows.ts';
import { parseText } from './option-values.ts';
import type { Parse, SectionReader } from './section-reader.ts';

type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export type LoggingConfig = {
  level: LogLevel;
  /** 'stdout', 'stderr', 'syslog', or the path of a file. */
  destination: string;
  format: 'json' | 'text';
};

const levels: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];
const pythonLevels: Record<string, LogLevel> = { notset: 'trace', warning: 'warn', critical: 'fatal' };

const usual: LoggingConfig = { level: 'info', destination: 'stderr', format: 'json' };

/** Of `[logging]`. */
export const loggingRows: OptionRows = {
  level: {
    meaning: "`trace`, `debug`, `info`, `warn`, `error`, `fatal`, `silent`, or Python's names",
    otherwise: inCode(usual.level),
  },
  destination: { meaning: '`stdout`, `stderr`, `syslog`, or a file', otherwise: inCode(usual.destination) },
  format: { meaning: '`json` or `text`', otherwise: inCode(usual.format) },
  'config-file': {
    meaning: "Python's logging configuration, of macen's files; ignored with a warning",
    otherwise: 'none',
  },
};

/** `[logging]`; `QUARRY_LOG` overrides the level. */
export function parseLogging(section: SectionReader, env: Environment): LoggingConfig {
  const level = section.one('level', parseLevel) ?? usual.level;
  const destination = section.one('destination', parseDestination) ?? usual.destination;
  const format = section.one('format', parseFormat) ?? usual.format;
  const configFile = section.one('config-file', text => text);
  section.finish();
  if (configFile) section.warn("Python's logging configuration cannot be used and is ignored", 'config-file');
  if (destination === 'journalctl')
    section.warn('journalctl means stderr, which systemd hands on', 'destination');
  if (format === 'python') section.warn("Python's format strings cannot be used; text stands in", 'format');
  return {
    level: readVariable(env, 'QUARRY_LOG', parseLevel) ?? level,
    destination: destination === 'journalctl' ? 'stderr' : destination,
    format: format === 'python' ? 'text' : format,
  };
}

export const parseLevel: Parse<LogLevel> = (text, fail) => {
  const word = text.toLowerCase();
  return (
    pythonLevels[word] ??
    levels.find(level => level === word) ??
    fail(`unknown level; known: ${levels.join(', ')}`)
  );
};

/** A bare word that is none of the known ones is more likely a typo of them than a file. */
const parseDestination: Parse<string> = (text, fail) => {
  if (['stdout', 'stderr', 'syslog', 'journalctl'].includes(text) || /[./]/.test(text))
    return parseText(text, fail);
  return fail('is neither stdout, stderr, syslog nor a path (a file here is ./name)');
};

const parseFormat: Parse<'json' | 'text' | 'python'> = (text, fail) => {
  if (text === 'json' || text === 'text') return text;
  return /%\(|\{/.test(text) ? 'python' : fail('is neither json nor text');
};
