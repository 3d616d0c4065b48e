import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../../services/cli/run-command.ts';
import type { Ended } from './run-quarry.ts';
import { tempDir } from './temp-dir.ts';

/**
 * Does in this process, and in its folder, what `quarry` is told: the start of a process costs more than most
 * commands do. Not for roles, nor where it is to be killed.
 *
 * @param env beside PATH, in place of this process's own
 */
export async function callQuarry(
  words: string[],
  env: Record<string, string | undefined> = {},
): Promise<Ended> {
  let [stdout, stderr] = ['', ''];
  const write = (text: string) => {
    stdout += text;
    return undefined;
  };
  const code = await runCommand(words, { env: { PATH: process.env.PATH, ...env }, write }, line => {
    stderr += line;
  });
  return { code, stdout, stderr };
}

/** The same with words for files of another folder, which what it says names as the words do. */
export async function callQuarryIn(folder: string, words: string[]): Promise<Ended> {
  const toPath = (word: string) => (existsSync(join(folder, word)) ? join(folder, word) : word);
  const { code, ...said } = await callQuarry(words.map(toPath));
  const asTold = (text: string) => text.replaceAll(`${folder}/`, '');
  return { code, stdout: asTold(said.stdout), stderr: asTold(said.stderr) };
}

/** The same with a configuration, which the words call `main.ini`. */
export async function callQuarryWith(ini: string, words: string[]): Promise<Ended> {
  await using dir = await tempDir();
  await writeFile(join(dir.path, 'main.ini'), ini);
  return await callQuarryIn(dir.path, words);
}
