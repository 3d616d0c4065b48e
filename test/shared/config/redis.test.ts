import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { whereOf } from '../../../shared/base/redis-address.ts';
import { connectTo } from '../../../shared/base/redis-connection.ts';
import type { RedisUser } from '../../../shared/base/redis-use.ts';
import type { RedisConfig } from '../../../shared/config/redis.ts';
import { addressFor, findPlace } from '../../../shared/config/redis-access.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { tlsAuthority } from '../../support/tls-authority.ts';
import { account, auth, loadText, refusal } from '../setup/load-text.ts';

const load = async (lines: string, env = {}) =>
  (await loadText(`${account}${auth}[redis]\n${lines}`, env)).redis;
const refused = async (lines: string, env = {}) => refusal(`${account}${auth}[redis]\n${lines}`, env);

/** What the client is told. */
function optionsOf(user: RedisUser, redis: RedisConfig, place = findPlace(redis)) {
  assert.ok(place);
  return connectTo(addressFor(user, place, redis), 'once', false).options;
}

function loginOf(user: RedisUser, redis: RedisConfig): (string | null | undefined)[] {
  const { username, password } = optionsOf(user, redis);
  return [username, password];
}

test('each role connects as the user that [redis] names for it, the others as the URL says', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'password');
  await writeFile(file, 'p@ss/word:1\n');
  const redis = await load(
    `url = rediss://one:two@r:1/2?family=6\nuser-worker = w\npassword-file-worker = ${file}\n`,
  );
  const place = { host: 'r', port: 1, db: 2, family: 6, tls: {} };
  assert.partialDeepStrictEqual(optionsOf('worker', redis), {
    ...place,
    username: 'w',
    password: 'p@ss/word:1',
  });
  assert.partialDeepStrictEqual(optionsOf('intake', redis), { ...place, username: 'one', password: 'two' });
  const socket = { path: '/a b', username: 'w', password: 'p@ss/word:1' };
  assert.partialDeepStrictEqual(optionsOf('worker', redis, { url: 'unix://own:o%40@/a b' }), socket);
  const own = { path: '/a b', username: 'own', password: 'o@' };
  assert.partialDeepStrictEqual(optionsOf('intake', redis, { url: 'unix://own:o%40@/a b' }), own);
});

test('the password of all may be in one file, which REDIS_PASSWORD_FILE names too', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'password');
  await writeFile(file, 'secret');
  const env = { REDIS_URL: 'redis://quarry@r', REDIS_PASSWORD_FILE: file };
  assert.deepEqual(loginOf('responder', await load('', env)), ['quarry', 'secret']);
  const both = await load(`url = redis://r:1\npassword-file = ${file}\nuser-cli = c`);
  assert.deepEqual(loginOf('cli', both), ['c', 'secret']);
  assert.deepEqual(loginOf('intake', both), [null, 'secret']);
  const named = await load(`url = redis://r:1\npassword-file = ${file}\nuser = quarry\nuser-cli = c`);
  assert.deepEqual(loginOf('cli', named), ['c', 'secret']);
  assert.deepEqual(loginOf('intake', named), ['quarry', 'secret']);
  const another = await load('url = redis://:own@r', env); // that file is of the URL beside it
  assert.deepEqual(loginOf('intake', another), ['', 'own']);
  const sentinels = await load('sentinel = s:1', env);
  assert.deepEqual([sentinels.url, ...loginOf('intake', sentinels)], [undefined, null, null]);
});

test('a password is read anew for each connection, and while it cannot be read it stays', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'password');
  await writeFile(file, 'first');
  const redis = await load(`url = unix:${dir.path}/none\npassword-file = ${file}`);
  const connection = connectTo(addressFor('cli', { url: redis.url ?? '' }, redis), 'once', false);
  connection.on('error', () => {});
  const passwords = [];
  for (const next of ['second', undefined, 'fourth']) {
    await (next === undefined ? rm(file) : writeFile(file, next));
    await connection.connect().catch(() => {});
    passwords.push(connection.options.password, connection.duplicate({ lazyConnect: true }).options.password);
  }
  assert.deepEqual(passwords, ['second', 'second', 'second', 'second', 'fourth', 'fourth']);
});

test('a password that cannot be had is named by its file alone', async () => {
  await using dir = await tempDir();
  const redis = await load(`url = redis://r\npassword-file = ${dir.path}/none`);
  assert.throws(() => optionsOf('cli', redis), {
    message: `the password of a Redis user: ${dir.path}/none cannot be read: no such file or directory: make it, or correct the path`,
  });
});

test('Sentinels are given by address, with the name of the master, a login and TLS of their own', async () => {
  await using dir = await tempDir();
  const [file, ofSentinel] = [join(dir.path, 'password'), join(dir.path, 'sentinel-password')];
  await writeFile(file, 'secret');
  await writeFile(ofSentinel, 'watch');
  const { caFile, certFile, keyFile } = await tlsAuthority();
  const plain = await load('sentinel = s1:26379\nsentinel = [fd00::2]:26380');
  const sentinels = [
    { host: 's1', port: 26379 },
    { host: 'fd00::2', port: 26380 },
  ];
  const given = { sentinels, name: 'mymaster', role: 'master', enableTLSForSentinelMode: false };
  assert.partialDeepStrictEqual(optionsOf('worker', plain), given);
  assert.deepEqual(loginOf('worker', plain), [null, null]);
  const place = findPlace(plain);
  assert.equal(place && whereOf(place), 'mymaster of the Sentinels s1:26379, [fd00::2]:26380');

  const full = await load(`sentinel = s1:1
sentinel-master = quarry
sentinel-user = watcher
sentinel-password-file = ${ofSentinel}
sentinel-tls = no
tls = yes
ca-file = ${caFile}
tls-cert = ${certFile}
tls-key = ${keyFile}
user = quarry
password-file = ${file}
`);
  const { tls, sentinelTLS, ...options } = optionsOf('worker', full);
  assert.partialDeepStrictEqual(options, {
    ...{ name: 'quarry', sentinelUsername: 'watcher', sentinelPassword: 'watch' },
    ...{ username: 'quarry', password: 'secret', enableTLSForSentinelMode: true },
  });
  assert.ok(tls?.secureContext);
  assert.equal(sentinelTLS, undefined);
  const both = optionsOf('worker', await load(`sentinel = s1:1\ntls = yes\nca-file = ${caFile}`));
  assert.ok(both.tls?.secureContext && both.sentinelTLS?.secureContext);
  const reverse = optionsOf('worker', await load('sentinel = s1:1\nsentinel-tls = yes'));
  assert.deepEqual([reverse.tls, reverse.sentinelTLS], [undefined, {}]);
});

test('a cluster is given by some of its nodes', async () => {
  const redis = await load('cluster = n1:7000\ncluster = [::1]:7001\nprefix = a{b}c');
  const nodes = [
    { host: 'n1', port: 7000 },
    { host: '::1', port: 7001 },
  ];
  const place = findPlace(redis);
  assert.deepEqual(place, { nodes, prefix: 'a{b}c' });
  assert.equal(place && whereOf(place), 'n1:7000, [::1]:7001');
});

test('TLS shows what its files say at each connection, and names them where they cannot be used', async () => {
  await using dir = await tempDir();
  const { caFile, certFile } = await tlsAuthority();
  const files = `tls-cert = ${certFile}\ntls-key = ${caFile}`;
  const unfit = await load(`url = rediss://r\nca-file = ${caFile}\n${files}`);
  assert.throws(
    () => optionsOf('cli', unfit),
    (error: Error) => {
      const begin = `Redis cannot be reached by TLS with ${caFile} and ${certFile} and ${caFile}: `;
      return error.message.startsWith(begin) && !error.message.includes('\n');
    },
  );
  const garbage = join(dir.path, 'garbage.pem');
  await writeFile(garbage, 'no PEM');
  const redis = await load(`cluster = n:1\ntls = yes\nca-file = ${garbage}`);
  assert.throws(
    () => optionsOf('cli', redis),
    /^Error: Redis cannot be reached by TLS with .*garbage\.pem: /,
  );
});

const refusals: [lines: string, said: RegExp][] = [
  ['url = redis://r\nuser-intake = a', /user-intake: needs password-file-intake/],
  ['url = redis://r\npassword-file-intake = /a', /password-file-intake: needs user-intake beside it$/],
  ['user-cli = a\npassword-file-cli = /a', /url: is missing/],
  ['user = a\npassword-file = /a', /url: is missing/],
  ['url = redis://a:b@r\npassword-file = /a', /url: has a password/],
  ['url = redis://a@r\npassword-file = /a\nuser = b', /url: has a user/],
  ['url = redis://r\nuser = b', /user: needs password-file beside it/],
  ['url = redis://r\nuser-intake = a b', /user-intake: is not a name/],
  ['url = redis-sentinel://r:1', /url: is not redis:.*write sentinel = host:port, .*cluster = host:port$/],
  ['url = redis://r\nsentinel = s:1', /sentinel: Redis is in one place: here is a url too/],
  ['url = redis://r\ncluster = s:1', /cluster: Redis is in one place: here is a url too/],
  ['sentinel = s:1\ncluster = s:1', /cluster: Redis is in one place: here is a sentinel too/],
  ['sentinel = s', /sentinel: is not host:port/],
  ['sentinel = s:0', /sentinel: has no port/],
  ['cluster = redis://n:1/3', /cluster: is not host:port/],
  ['cluster = redis://n:1', /cluster: is not host:port or \[IPv6\]:port/],
  ['cluster = n:1, m:1', /cluster: is not host:port or \[IPv6\]:port/],
  ['cluster = fd00::1:x', /cluster: is not host:port or \[IPv6\]:port/],
  ['cluster = n:1\nprefix = quarry', /prefix: has no braces, .*: write prefix = \{quarry\}$/],
  ['cluster = n:1\nprefix = {}quarry{a}', /prefix: has no braces, .*: write prefix = \{quarrya\}$/],
  ['sentinel-master = m', /sentinel-master: needs sentinel = host:port beside it/],
  ['cluster = n:1\nsentinel-user = m', /sentinel-user: needs sentinel = host:port beside it/],
  ['sentinel = s:1\nsentinel-user = m', /sentinel-user: needs sentinel-password-file beside it/],
  ['url = redis://r\ntls = yes', /tls: is for Sentinels and clusters: write url = rediss:/],
  ['url = rediss://r\ntls = no', /tls: is for Sentinels and clusters: write url = redis:/],
  ['tls = yes', /tls: is for Sentinels and clusters; neither/],
  ['url = rediss://r\nca-file = /none', /ca-file: \/none cannot be read: no such file/],
];

for (const [lines, said] of refusals)
  test(`[redis] refuses ${JSON.stringify(lines)}`, async () => {
    assert.match(await refused(lines), said);
  });

test('[redis] refuses half a certificate, and files of TLS where there is none', async () => {
  const { caFile, certFile, keyFile } = await tlsAuthority();
  const half = `cluster = n:1\ntls = yes\n`;
  assert.match(await refused(`${half}tls-cert = ${certFile}`), /tls-cert: needs tls-key beside it/);
  assert.match(await refused(`${half}tls-key = ${keyFile}`), /tls-key: needs tls-cert beside it/);
  const clear = /ca-file: is for TLS: write url = rediss:.*, or tls = yes/;
  for (const place of ['url = redis://r', 'sentinel = s:1', 'cluster = n:1'])
    assert.match(await refused(`${place}\nca-file = ${caFile}`), clear);
});
