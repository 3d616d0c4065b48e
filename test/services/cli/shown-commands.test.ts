import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fillCommands } from '../../../services/cli/command-table.ts';
import { loadCommands } from '../../../services/cli/commands.ts';
import { readForm } from '../../../services/cli/form.ts';
import { readCommands, readNamedCommands, readPages, type ShownCommand } from '../../support/pages.ts';

// What the pages say of the command line, and what it knows.

const commands = await loadCommands();
const pages = readPages().filter(({ path }) => path !== 'CHANGELOG.md');
const shown = pages.flatMap(readCommands);
const named = pages.flatMap(readNamedCommands);

/** Why the command line would not take it; `…` stands for words that are left out. */
function findFault({ page, line, words }: ShownCommand, last: string[] = []): string[] {
  const [name = '', ...given] = words;
  if (['--help', '--version'].includes(name)) return [];
  const rest = [...given, ...last];
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  const at = `${page}:${line}: quarry ${words.join(' ')}`;
  if (!command) return [`${at}: there is no such command`];
  if (rest.includes('…') || rest.includes('--help')) return [];
  const forms = (command.forms ?? command.usage).map(form => form.replace(/^\S+ ?/, ''));
  try {
    readForm(`quarry ${name}`, forms, rest);
    return [];
  } catch (error) {
    return [`${at}: ${error instanceof Error ? error.message : error}`];
  }
}

/** In a sentence a command need not have its last words, such as the files. */
function findNamedFault(command: ShownCommand): string[] {
  if (command.words.length === 1 && Object.hasOwn(commands, command.words[0] ?? '')) return [];
  const faults = [[], ['main.ini'], ['NAME', 'main.ini']].map(last => findFault(command, last));
  return faults.some(({ length }) => length === 0) ? [] : (faults[0] ?? []);
}

test('each quarry command in a block of a page has words that the command line takes', () => {
  assert.ok(shown.length > 30, `${shown.length} commands`);
  assert.deepEqual(
    shown.flatMap(one => findFault(one)),
    [],
  );
});

test('each quarry command that a page names is there', () => {
  assert.ok(named.length > 50, `${named.length} commands`);
  assert.deepEqual(named.flatMap(findNamedFault), []);
});

test('the page of all commands has them as they tell of themselves, as npm run docs writes it', () => {
  const listing = pages.filter(({ text }) => text.includes('<!-- commands: made by npm run docs -->'));
  assert.equal(listing.length, 1);
  for (const { path, text } of listing)
    assert.equal(fillCommands(text, commands), text, `${path}: run npm run docs`);
  const old = '<!-- commands: made by npm run docs -->\nold\n<!-- end of commands -->';
  assert.match(fillCommands(old, commands), /^\| `check \[--probe\] FILE…`<br>/m);
  assert.doesNotMatch(fillCommands(old, commands), /old\n</);
});

test('each command of quarry is shown on a page', () => {
  const told = new Set([...shown, ...named].map(({ words }) => words[0]));
  assert.deepEqual(
    Object.keys(commands).filter(name => !told.has(name)),
    [],
  );
});

test('commands are found in blocks, behind a prompt and between backquotes, with the words that a shell makes', () => {
  const text = [
    '```sh',
    "cd /x && npx quarry certificates '*.example.org' a.ini   # quarry up",
    'quarry redis-acl a.ini | redis-cli; X=$(quarry trail key "b c.ini" >key)',
    '```',
    'See `quarry up main.ini` and `npm ci`.',
    '',
    '    quarry check a.ini # why',
    '',
    '```',
    '$ quarry ca a.ini',
    'quarry: what it says',
    '```',
  ].join('\n');
  const page = { path: 'a.md', text };
  const told = (found: ShownCommand[]) => found.map(({ line, words }) => [line, ...words]);
  assert.deepEqual(told(readCommands(page)), [
    [2, 'certificates', '*.example.org', 'a.ini'],
    [3, 'redis-acl', 'a.ini'],
    [3, 'trail', 'key', 'b c.ini'],
    [10, 'ca', 'a.ini'],
    [7, 'check', 'a.ini'],
  ]);
  assert.deepEqual(told(readNamedCommands(page)), [[5, 'up', 'main.ini']]);
});

test('words that the command line does not take are a fault', () => {
  const faults = (text: string) => {
    const command = { page: 'a.md', line: 1, words: text.split(' '), mark: '' };
    return [findFault(command).length, findNamedFault(command).length];
  };
  for (const text of ['check a.ini', 'acme …', 'check --for responder a.ini'])
    assert.deepEqual(faults(text), [0, 0]);
  for (const text of ['trail key', 'revoke']) assert.deepEqual(faults(text), [1, 0]);
  for (const text of ['chekc a.ini', 'check --what a.ini', 'trail what'])
    assert.deepEqual(faults(text), [1, 1]);
});
