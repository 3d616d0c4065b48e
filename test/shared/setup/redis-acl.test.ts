import assert from 'node:assert/strict';
import { test } from 'node:test';
import { redisUsers } from '../../../shared/base/redis-use.ts';
import { rightsOf, toAclWords } from '../../../shared/setup/redis-acl.ts';
import { readSources } from '../../support/read-sources.ts';
import { account, auth, loadText } from './load-text.ts';

const every = `${account}${auth}verification = a
[verification "a"]
type = http01
[verification "b"]
type = dns01-server
[verification "c"]
type = tlsalpn01
[verification "d"]
type = dns01-challtestsrv
set-txt_url = http://127.0.0.1:8055/set-txt
[storage "e"]
type = redis
`;

test('the rights know every key and every channel that the sources write down', async () => {
  const config = await loadText(every);
  const known = new Set(
    redisUsers.flatMap(user => {
      const { keys, channels } = rightsOf(user, config);
      return [...keys, ...channels].map(({ pattern }) => pattern.split(':')[1]);
    }),
  );
  const written = ['shared', 'services']
    .flatMap(readSources)
    .flatMap(({ text }) => [...text.matchAll(/[Pp]refix\}:([a-z][a-z0-9-]*)/g)].map(([, name]) => name));
  assert.ok(written.length > 30, `${written.length}`);
  assert.deepEqual([...new Set(written)].filter(name => !known.has(name)).sort(), []);
});

test('only schedulers and the operator can list the names of keys where no storage is in Redis', async () => {
  const config = await loadText(account + auth);
  const scanning = redisUsers.filter(user => toAclWords(user, rightsOf(user, config)).includes('+scan'));
  assert.deepEqual(scanning, ['scheduler', 'cli']);
});
