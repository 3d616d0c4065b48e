import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { type Block, ownFiles, readBlocks, readPages, readShellCommands } from '../../support/pages.ts';
import { root } from '../../support/read-sources.ts';

// Each block of a shell in a page is run by a test, or says why none can. A test takes the block that it runs
// out of the page. Those that hold nothing but commands of Quarry run in
// test/integration/docs-commands.test.ts.

const blocks = readPages()
  .flatMap(readBlocks)
  .filter(({ language }) => ['sh', 'bash', 'console'].includes(language));

/** A call of a function that takes blocks out of pages, with its arguments. */
type Taken = { by: string; page?: string; language?: string; heading?: string; holding?: string };

const literal = String.raw`('(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")`;
const toText = (written = "''") =>
  written.slice(1, -1).replace(/\\(.)/g, (_, char) => (char === 'n' ? '\n' : char));

function readTaken(by: string): Taken[] {
  const text = readFileSync(join(root, by), 'utf8');
  const call = (name: string, ...more: string[]) =>
    [...text.matchAll(new RegExp(`\\b${name}\\(\\s*${literal}${more.join('')}`, 'g'))].map(found =>
      found.slice(1).map(one => (one === undefined ? undefined : toText(one))),
    );
  const one = `,\\s*${literal}`;
  return [
    ...call('shownBlock', one, `(?:${one})?`).map(([page, language, holding]) => ({
      by,
      page,
      language,
      holding,
    })),
    ...call('shownBlocks', one).map(([heading, language]) => ({
      ...{ by, heading, language },
      page: 'shared/acme-server/clients.md',
    })),
    ...call('shownCommands').map(([holding]) => ({ by, holding, language: 'sh' })),
  ];
}

const taken = ownFiles('test/**/*.ts').flatMap(readTaken);

const isTaken = (block: Block) =>
  taken.some(
    ({ page, language, heading, holding = '' }) =>
      (page ?? block.page) === block.page &&
      language === block.language &&
      (heading ?? block.heading) === block.heading &&
      block.text.includes(holding),
  );

/** What the test of Quarry's commands can run, or what has been done before any test. */
const isRunWithQuarry = ({ text }: Block) =>
  readShellCommands(text).every(({ words }) => /^(npx )?quarry |^cd |^npm ci$/.test(`${words.join(' ')}`));

/** Why a block is neither run nor outside; undefined where it is. */
function findFault(block: Block): string | undefined {
  const [, test] = /^shown by (\S+)$/.exec(block.mark) ?? [];
  if (test !== undefined) return findTestFault(block, test);
  const [, why] = /^outside: (.+)$/.exec(block.mark) ?? [];
  const isRun = isTaken(block) || isRunWithQuarry(block);
  if (why === undefined) return isRun ? undefined : 'no test runs it, and no mark says why';
  return isTaken(block) ? 'is marked as outside, and a test takes it' : undefined;
}

function findTestFault({ page }: Block, file: string): string | undefined {
  if (!existsSync(join(root, file)) || !file.endsWith('.test.ts')) return `there is no test ${file}`;
  const names = readFileSync(join(root, file), 'utf8').includes(basename(page));
  return names ? undefined : `${file} does not name ${basename(page)}`;
}

test('each block of a shell is run by a test, or says in the line above it why none can', () => {
  assert.ok(blocks.length > 50, `${blocks.length} blocks`);
  const faults = blocks.flatMap(block => {
    const fault = findFault(block);
    return fault === undefined ? [] : [`${block.page}:${block.line}: ${fault}`];
  });
  assert.deepEqual(faults, []);
});

test('each block that a test takes is in the page', () => {
  const gone = taken.filter(
    ({ language, ...one }) =>
      language === 'sh' && !blocks.some(block => isTaken(block) && block.text.includes(one.holding ?? '')),
  );
  assert.deepEqual(gone, []);
});

const scripts = Object.keys(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).scripts);

test('each script of npm that a page names is there', () => {
  const named = readPages().flatMap(({ path, text }) =>
    [...text.matchAll(/\bnpm run (?:--silent )?([a-z][\w:-]*)/g)].map(([, script = '']) => ({
      path,
      script,
    })),
  );
  assert.ok(named.length > 10);
  assert.deepEqual(
    named.filter(({ script }) => !scripts.includes(script)),
    [],
  );
});

test('a block is at fault that nothing runs, and so is a mark that is not so', () => {
  const block = (text: string, mark = '') => ({
    ...{ page: 'a.md', line: 1, language: 'sh', heading: '', text, mark },
  });
  const good = [
    block('npx quarry check main.ini   # says who\ncd /x && quarry up main.ini\nnpm ci\n'),
    block('reboot\n', 'outside: it needs a machine of its own'),
    block('reboot\n', 'shown by test/services/docs/blocks.test.ts'),
  ];
  assert.deepEqual(
    good.map(findFault).filter(fault => fault !== undefined),
    [],
  );
  const bad = [
    block('reboot\n'),
    block('quarry up a.ini | sh\n'),
    block('reboot\n', 'shown by test/no.test.ts'),
  ];
  assert.ok(bad.every(one => findFault(one) !== undefined));
});
