import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');

const shellBlocks = [...readme.matchAll(/^```sh\n([^`]*)^```$/gm)].map(([, block = '']) => block);

/** The shell commands of the README that hold this, as they stand there. */
export function shownCommands(holding: string): string {
  const [block, ...others] = shellBlocks.filter(one => one.includes(holding));
  assert.ok(block !== undefined && others.length === 0, `the README shows one way with ${holding}`);
  return block;
}

/** The file of functions that the README's recipes read, put into a folder as a reader does. */
export const writeRecipe = (folder: string): Promise<void> =>
  writeFile(join(folder, 'hmac2.sh'), shownCommands('# hmac2.sh'));
