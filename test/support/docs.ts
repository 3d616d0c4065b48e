import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readBlocks } from './pages.ts';
import { root } from './read-sources.ts';

/** Where the pages for people are, from the root on; README leads to them. */
export const docsFolder = 'services/docs';

/** README and the pages it leads to, from the root on. */
export const docsPages = [
  'README.md',
  ...readdirSync(join(root, docsFolder))
    .filter(name => name.endsWith('.md'))
    .map(name => `${docsFolder}/${name}`),
];

/** The text of a page, such as `hosts.md`. */
export const readPage = (name: string): string => readFileSync(join(root, docsFolder, name), 'utf8');

/** README and the pages, one after the other. */
export const docs = docsPages.map(path => readFileSync(join(root, path), 'utf8')).join('\n');

const shellBlocks = docsPages
  .flatMap(path => readBlocks({ path, text: readFileSync(join(root, path), 'utf8') }))
  .flatMap(({ language, text }) => (language === 'sh' ? [text] : []));

/** The shell commands of the pages that hold this, as they stand there. */
export function shownCommands(holding: string): string {
  const [block, ...others] = shellBlocks.filter(one => one.includes(holding));
  assert.ok(block !== undefined && others.length === 0, `the pages show one way with ${holding}`);
  return block;
}

/** The file of functions that the recipes for hosts read, put into a folder as a reader does. */
export const writeRecipe = (folder: string): Promise<void> =>
  writeFile(join(folder, 'hmac2.sh'), shownCommands('# hmac2.sh'));
