import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { check } from '../../../services/cli/check.ts';
import { readPage } from '../../support/docs.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { account, auth } from './load-text.ts';

// What the page on macen's files says of each is tried.

const [page = ''] = readPage('macen.md').split('## What goes wrong');
const rows = [...page.matchAll(/^\| (`.*`) \| (.*) \| (.*) \|$/gm)].map(
  ([, written = '', , quarry = '']) => ({
    written,
    files: written.split(' and in another file ').map(file => `${spansOf(file).join('\n')}\n`),
    refused: quarry.startsWith('refused'),
    said: spansOf(quarry),
  }),
);

/** What stands in backquotes. */
function spansOf(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, span = '']) => span);
}

/** The files, with what they have to say but do not. */
function complete([first = '', ...others]: string[]): string[] {
  const all = [first, ...others].join('');
  const more = [/^\[account\]/m.test(all) ? '' : account, /^\[auth/m.test(all) ? '' : auth];
  return [first + more.join(''), ...others];
}

/** What `quarry check` says, whether it takes the files or not. */
async function checkFiles(texts: string[]): Promise<{ refused: boolean; output: string }> {
  await using dir = await tempDir();
  const files = texts.map((_, index) => join(dir.path, `${index}.ini`));
  await Promise.all(texts.map((text, index) => writeFile(files[index] ?? '', text)));
  const written: string[] = [];
  try {
    await check(files, {}, text => void written.push(text));
    return { refused: false, output: written.join('') };
  } catch (error) {
    assert.ok(error instanceof Error && error.name === 'ConfigError', `${error}`);
    return { refused: true, output: error.message };
  }
}

test("the page on macen's files has its two tables", () => {
  assert.ok(rows.length > 50, `${rows.length} rows`);
});

for (const { written, files, refused, said } of rows)
  test(`quarry check makes of a file with ${written} what the page on macen's files says`, async () => {
    const checked = await checkFiles(complete(files));
    assert.equal(checked.refused, refused, checked.output);
    assert.ok(said.length > 0, 'the page shows what is printed');
    for (const words of said) assert.ok(checked.output.includes(words), checked.output);
  });
