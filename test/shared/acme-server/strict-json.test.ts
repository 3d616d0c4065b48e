import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseJsonObject } from '../../../shared/acme-server/strict-json.ts';

const parse = (text: string | Buffer) => parseJsonObject(Buffer.from(text), 'the body');
const nested = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;

suite('JSON of a client', () => {
  test('is an object of any form that JSON has', () => {
    for (const text of [
      '{}',
      ' { "a" : [ 1, {"a": "a"}, {"a": "b"} ], "b": {"a": null, "b": "\\"{[:"} } ',
      '{"a":"\\\\","b":":"}',
      '{"":1,"\\u00e9":"é\u2028"}',
      '{"__proto__":{"admin":true},"constructor":1}',
      nested(16),
      `{"a":[${Array.from({ length: 20 }, () => '[{}]')}]}`,
    ])
      assert.deepEqual(parse(text), JSON.parse(text), text);
  });

  test('is refused in one line where it is something else', () => {
    for (const [text, detail] of [
      ['', 'the body is not a JSON object'],
      ['{', 'the body is not a JSON object'],
      ['[]', 'the body is not a JSON object'],
      ['null', 'the body is not a JSON object'],
      ['"text"', 'the body is not a JSON object'],
      ['{"a":1}{"b":2}', 'the body is not a JSON object'],
      ['\ufeff{}', 'the body is not a JSON object'],
      [Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 'the body is not UTF-8'],
    ] as const)
      assert.throws(() => parse(text as string), { kind: 'malformed', message: detail }, String(text));
  });

  test('is looked through for names only once it is JSON, as that would cost seconds otherwise', () => {
    for (const text of ['{"a":1,"a":2', `{"a":1,"a":2,"${'\\"'.repeat(30_000)}`])
      assert.throws(() => parse(text), { message: 'the body is not a JSON object' });
  });

  test('has no name twice in one object, however it is spelt', () => {
    for (const text of [
      '{"a":1,"a":2}',
      '{"a":1,"\\u0061":2}',
      '{"b":{"a":1,"c":{"a":3},"a" : 2}}',
      '{"b":[{"a":1},{"a":1,"a":1}]}',
      '{"\\"":1,"\\"":2}',
    ])
      assert.throws(() => parse(text), { kind: 'malformed', message: 'the body has a name twice' }, text);
  });

  test('is refused where it is deeper than a request is, whatever its size', () => {
    for (const text of [nested(17), `{"a":${'['.repeat(30_000)}${']'.repeat(30_000)}}`])
      assert.throws(() => parse(text), { message: 'the body is nested deeper than 16' });
  });
});
