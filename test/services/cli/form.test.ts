import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countMet, parseForm, readForm } from '../../../services/cli/form.ts';

const forms = [
  'key|keys create PATH',
  'order create NAME…',
  'order list [--all]',
  'shaman [DIRECTORY] [--tag X]…',
];
const read = (...words: string[]) => readForm('quarry acme', forms, words);
const usageError = (message: string | RegExp) => ({ name: 'UsageError', message });

test('parseForm() reads literals, values, what repeats or may be missing, and options', () => {
  assert.deepEqual(parseForm('key|keys make TYPE|VALUE… [FILE…] [--json] [--contact X]…'), {
    words: [
      { is: 'literal', spellings: ['key', 'keys'] },
      { is: 'literal', spellings: ['make'] },
      { is: 'value', name: 'TYPE|VALUE', many: true, optional: false },
      { is: 'value', name: 'FILE', many: true, optional: true },
    ],
    options: [
      { name: 'json', many: false },
      { name: 'contact', value: 'X', many: true },
    ],
  });
});

test('readForm() finds the form that words have, and what was given', () => {
  const created = read('keys', 'create', 'a.pem');
  assert.deepEqual([created.index, created.given.one('PATH')], [0, 'a.pem']);
  const ordered = read('order', 'create', 'a', 'b');
  assert.deepEqual([ordered.index, ordered.given.many('NAME')], [1, ['a', 'b']]);
  assert.equal(read('order', 'list', '--all').given.option('all'), 'true');
  const tagged = read('--tag', 'a', 'shaman', '--tag', 'b');
  assert.deepEqual([tagged.index, tagged.given.options('tag')], [3, ['a', 'b']]);
  assert.equal(read('shaman', 'here').given.one('DIRECTORY'), 'here');
});

test('readForm() rejects wrong words with the usage that comes nearest', () => {
  assert.throws(() => read('key', 'create'), usageError('usage: quarry acme key|keys create PATH'));
  assert.throws(() => read('order', 'create'), usageError('usage: quarry acme order create NAME…'));
  assert.throws(() => read('order', 'list', 'x'), usageError('usage: quarry acme order list [--all]'));
  assert.throws(() => read('order', 'drop'), usageError('"drop" is not known here; see quarry acme --help'));
  assert.throws(() => read('order'), usageError('more words are needed; see quarry acme --help'));
  assert.throws(() => read('shaman', '--tag'), usageError('--tag needs a value'));
  const foreign = usageError('no --all here; usage: quarry acme order create NAME…');
  assert.throws(() => read('order', 'create', 'a', '--all'), foreign);
  assert.throws(() => read('shaman').given.one('DIRECTORY'), usageError('DIRECTORY is missing'));
});

test('countMet() counts the words of a form that are met', () => {
  const form = parseForm('order create NAME…');
  for (const [words, met] of [
    [[], 0],
    [['order'], 1],
    [['order', 'list'], 1],
    [['order', 'create', 'a', 'b'], 3],
  ] as const)
    assert.equal(countMet(form, [...words]), met);
});
