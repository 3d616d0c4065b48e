import { ConfigError } from './config-error.ts';
import type { Parse } from './parse.ts';

/** The process's environment, handed in by the service. */
export type Environment = Record<string, string | undefined>;

/** Reads a variable as the option that it stands for would be read; unset and empty are the same. */
export function readVariable<T>(env: Environment, name: string, parse: Parse<T>): T | undefined {
  const text = env[name]?.trim();
  if (!text) return undefined;
  return parse(text, reason => {
    throw new ConfigError({ file: 'environment', option: name }, reason);
  });
}
