import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIni } from '../../../shared/config/ini.ts';

test('parseIni() keeps sections and repeated options in their order, with their places', () => {
  assert.deepEqual(
    parseIni('# first\n[mgmt]\nlistener=a:1\n\n  listener = b:2  \n[auth "mail"]\n', 'main.ini'),
    [
      {
        name: 'mgmt',
        file: 'main.ini',
        line: 2,
        options: [
          { key: 'listener', value: 'a:1', file: 'main.ini', line: 3 },
          { key: 'listener', value: 'b:2', file: 'main.ini', line: 5 },
        ],
      },
      { name: 'auth', label: 'mail', file: 'main.ini', line: 6, options: [] },
    ],
  );
});

test('parseIni() splits at the first = and allows an empty value', () => {
  const [section] = parseIni('[a]\nkey = x=y = z\nempty =\n', 'f');
  assert.deepEqual(
    section?.options.map(({ key, value }) => [key, value]),
    [
      ['key', 'x=y = z'],
      ['empty', ''],
    ],
  );
});

test('parseIni() reads labels with and without quotes', () => {
  const text = '[auth "a b"]\n[auth c]\n[auth "d" ]\n[auth e f ]\n';
  const labels = parseIni(text, 'f').map(one => one.label);
  assert.deepEqual(labels, ['a b', 'c', 'd', 'e f']);
});

test('parseIni() reads # and ; as comments only at the beginning of a line', () => {
  const [section] = parseIni('; one\n  # two\n[a]\nkey = yes # or true\n', 'f');
  assert.deepEqual(
    section?.options.map(option => option.value),
    ['yes # or true'],
  );
});

test('parseIni() tolerates CRLF, a byte order mark and no newline at the end', () => {
  const [section] = parseIni('\uFEFF[a]\r\nkey = x\r\nlast = y', 'f');
  assert.deepEqual(
    section?.options.map(({ value, line }) => [value, line]),
    [
      ['x', 2],
      ['y', 3],
    ],
  );
});

for (const [line, reason] of [
  ['[a] # no', /^f:2: a heading is/],
  ['[a', /^f:2: a heading is/],
  ['[]', /^f:2: a heading is/],
  ['[a "b]', /^f:2: a heading is/],
  ["[a 'b']", /^f:2: a heading is/],
  ['[a b "c"]', /^f:2: a heading is/],
  ['[a "  "]', /^f:2: the name in the quotes is empty/],
  ['s3cret', /^f:2: neither key = value/],
  ['hmac_key: s3cret', /^f:2: neither key = value/],
  ['hmac_key s3cret==', /^f:2: an option's name/],
  ['= s3cret', /^f:2: an option's name/],
] as const) {
  test(`parseIni() refuses the line ${line} without repeating it`, () => {
    assert.throws(
      () => parseIni(`[x]\n${line}\n`, 'f'),
      (error: Error) =>
        error.name === 'ConfigError' && reason.test(error.message) && !error.message.includes('s3cret'),
    );
  });
}

test('parseIni() refuses an option before the first section', () => {
  assert.throws(() => parseIni('key = x\n[a]\n', 'f'), {
    message: 'f:1: an option before the first [section]',
  });
});
