import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Environment } from '../../../shared/config/environment.ts';
import { type Config, loadConfig } from '../../../shared/setup/load-config.ts';
import { tempDir } from '../../support/temp-dir.ts';

/** The least that a configuration has to say. */
export const account = '[account]\ndir = /var/lib/quarry\n';
export const auth = '[auth "mail"]\nip = 192.0.2.1\ndomain = mail.example.org\n';

/** Loads one file with this text; `main.ini` stands for its path in errors and warnings. */
export async function loadText(text: string, env: Environment = {}): Promise<Config> {
  return loadTexts({ 'main.ini': text }, env);
}

/** Loads several files, by name; the names stand for their paths. Others may lie `beside` them. */
export async function loadTexts(
  texts: Record<string, string>,
  env: Environment = {},
  beside: Record<string, string> = {},
): Promise<Config> {
  await using dir = await tempDir();
  for (const [name, text] of Object.entries(beside)) await writeFile(join(dir.path, name), text);
  const files = Object.keys(texts).map(name => join(dir.path, name));
  await Promise.all(Object.values(texts).map((text, index) => writeFile(files[index] ?? '', text)));
  const shorten = (line: string) => line.replaceAll(`${dir.path}/`, '');
  try {
    const config = await loadConfig(files, env);
    return { ...config, warnings: config.warnings.map(shorten) };
  } catch (error) {
    if (error instanceof Error) error.message = shorten(error.message);
    throw error;
  }
}

/** What loadConfig() says when it refuses the text; fails when it accepts it. */
export async function refusal(text: string, env: Environment = {}): Promise<string> {
  const error = await loadText(text, env).then(
    () => undefined,
    error => error,
  );
  if (error?.name !== 'ConfigError') throw new Error('expected a ConfigError', { cause: error });
  return error.message;
}
