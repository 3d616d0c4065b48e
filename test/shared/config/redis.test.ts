import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { addressFor } from '../../../shared/config/redis.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { account, auth, loadText, refusal } from '../setup/load-text.ts';

const load = async (lines: string, env = {}) =>
  (await loadText(`${account}${auth}[redis]\n${lines}`, env)).redis;
const refused = async (lines: string, env = {}) => refusal(`${account}${auth}[redis]\n${lines}`, env);

test('each role connects as the user that [redis] names for it, the others as the URL says', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'password');
  await writeFile(file, 'p@ss/word:1\n');
  const redis = await load(
    `url = rediss://one:two@r:1/2?a=b\nuser-worker = w\npassword-file-worker = ${file}\n`,
  );
  assert.equal(
    addressFor('worker', { url: redis.url ?? '' }, redis).url,
    'rediss://w:p%40ss%2Fword%3A1@r:1/2?a=b',
  );
  assert.equal(addressFor('intake', { url: redis.url ?? '' }, redis).url, redis.url);
  assert.equal(addressFor('worker', { url: 'unix:/a b' }, redis).url, 'unix://w:p%40ss%2Fword%3A1@/a b');
});

test('the password of all may be in one file, which REDIS_PASSWORD_FILE names too', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'password');
  await writeFile(file, 'secret');
  const env = { REDIS_URL: 'redis://quarry@r', REDIS_PASSWORD_FILE: file };
  const byEnv = await load('', env);
  assert.equal(addressFor('responder', { url: byEnv.url ?? '' }, byEnv).url, 'redis://quarry:secret@r');
  const both = await load(`url = redis://r:1\npassword-file = ${file}\nuser-cli = c`);
  assert.equal(addressFor('cli', { url: both.url ?? '' }, both).url, 'redis://c:secret@r:1');
  assert.equal(addressFor('intake', { url: both.url ?? '' }, both).url, 'redis://:secret@r:1');
  const another = await load('url = redis://:own@r', env); // that file is of the URL beside it
  assert.equal(addressFor('intake', { url: another.url ?? '' }, another).url, 'redis://:own@r');
});

test('a password that cannot be had is named by its file alone', async () => {
  await using dir = await tempDir();
  const redis = await load(`url = redis://r\npassword-file = ${dir.path}/none`);
  assert.throws(() => addressFor('cli', { url: 'redis://r' }, redis), {
    message: `the password of a Redis user in ${dir.path}/none cannot be read: no such file or directory`,
  });
});

test('[redis] refuses users that could not connect', async () => {
  assert.match(await refused('url = redis://r\nuser-intake = a'), /user-intake: needs password-file-intake/);
  assert.match(
    await refused('url = redis://r\npassword-file-intake = /a'),
    /password-file-intake: needs user-intake beside it$/,
  );
  assert.match(await refused('user-cli = a\npassword-file-cli = /a'), /url: is missing/);
  assert.match(await refused('url = redis://a:b@r\npassword-file = /a'), /url: has a password/);
  assert.match(await refused('url = redis://r\nuser-intake = a b'), /user-intake: is not a name/);
});
