import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestFiles, readAnswer, readRequest, toRequest } from '../../../services/cli/reload-messages.ts';
import { tempDir } from '../../support/temp-dir.ts';

const answer = {
  ...{ id: '1', roles: 'intake', host: 'web1', pid: 12, digest: '0123', outcome: 'taken' },
  ...{ taken: ['[mgmt] wait'], needsRestart: [] },
};

test('a request is read by its id, and what is no request is passed over', () => {
  assert.equal(readRequest(toRequest('an id')), 'an id');
  for (const text of ['', 'null', '{}', '{"id":1}', '[', `{"id":"${'x'.repeat(101)}"}`])
    assert.equal(readRequest(text), undefined, text);
});

test('an answer that is none is passed over, and nothing of one can command a terminal', () => {
  assert.deepEqual(readAnswer(JSON.stringify(answer)), answer);
  for (const wrong of [
    { pid: '12' },
    { outcome: 'done' },
    { taken: 'all' },
    { needsRestart: [1] },
    { reason: 1 },
  ])
    assert.equal(readAnswer(JSON.stringify({ ...answer, ...wrong })), undefined);
  const hostile = {
    ...answer,
    host: '\u001b]0;owned\u0007web1\nworker',
    taken: ['a\r\nb', 'x'.repeat(2_000)],
  };
  const { host, taken } = readAnswer(JSON.stringify(hostile)) ?? assert.fail();
  assert.equal(host, ' ]0;owned web1 worker');
  assert.deepEqual([taken[0], taken[1]?.length], ['a b', 1_000]);
});

test('the digest of the files tells two contents apart, and depends on the secret', async () => {
  await using dir = await tempDir();
  const [one, same, other] = ['one', 'same', 'other'].map(name => join(dir.path, `${name}.ini`)) as [
    string,
    string,
    string,
  ];
  await Promise.all([writeFile(one, 'a'), writeFile(same, 'a'), writeFile(other, 'b')]);
  const secret = Buffer.alloc(32, 1);
  const digest = await digestFiles([one], secret);
  assert.match(digest, /^[0-9a-f]{16}$/);
  assert.equal(await digestFiles([same], secret), digest);
  assert.notEqual(await digestFiles([other], secret), digest);
  assert.notEqual(await digestFiles([one], Buffer.alloc(32, 2)), digest);
});
