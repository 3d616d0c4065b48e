import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Redis } from 'ioredis';
import { commandSamples } from '../../shared/base/redis-commands.ts';
import { type RedisUser, redisUsers } from '../../shared/base/redis-use.ts';
import { rightsOf, toAclWords } from '../../shared/setup/redis-acl.ts';
import { lookAtRedis } from '../../shared/setup/redis-fitness.ts';
import { loadText } from '../shared/setup/load-text.ts';
import { startRedis } from '../support/redis.ts';

// The users that `quarry redis-acl` prints, in a real Redis: what they may do is enough, and no more.

const redis = await startRedis();
const admin = new Redis(redis.url);
after(async () => {
  admin.disconnect();
  await redis[Symbol.asyncDispose]();
});

const config = await loadText(`[account]
dir = /nowhere
[verification "http"]
type = http01
[verification "dns"]
type = dns01-server
[verification "tls"]
type = tlsalpn01
[verification "test"]
type = dns01-challtestsrv
set-txt_url = http://127.0.0.1:8055/set-txt
[storage "r*d"]
type = redis
[auth "all"]
all = yes
domain = *
verification = http
`);

const urlOf = (user: RedisUser) => redis.url.replace('//', `//${user}:secret@`);

/** As by the line that is printed for it, `more` behind it. */
async function makeUser(user: RedisUser, ...more: string[]): Promise<void> {
  const words = toAclWords(user, rightsOf(user, config));
  await admin.acl('SETUSER', user, 'reset', 'on', '>secret', ...words, ...more);
}

const look = (user: RedisUser) => lookAtRedis(user, { url: urlOf(user) }, rightsOf(user, config));

/** Each key and channel that a user touches, with each command that it touches it with. */
function triesOf(user: RedisUser) {
  const { keys, channels } = rightsOf(user, config);
  const toName = (pattern: string) => pattern.replace(/\\(.)|\*/g, (_, text) => text ?? 'a');
  return [...keys, ...channels].flatMap(({ pattern, commands }) =>
    commands.map(command => ({ pattern, command, words: commandSamples[command](toName(pattern)) })),
  );
}

for (const user of redisUsers) {
  test(`the user of ${user} may do all that it needs, and nothing that is only another one's`, async () => {
    await makeUser(user);
    assert.deepEqual(await look(user), { state: 'fit' });
    const own = triesOf(user);
    const patterns = new Set(own.map(({ pattern }) => pattern));
    const commands = new Set<string>([...own.map(({ command }) => command), 'time']);
    const others = redisUsers.filter(other => other !== user).flatMap(triesOf);
    const foreign = others.filter(
      ({ pattern, command, words }) =>
        (words.length > 0 && !isWithin(pattern, patterns) && !keyless.includes(command)) ||
        !commands.has(command),
    );
    assert.ok(foreign.length > 100, `${foreign.length}`);
    const client = new Redis(urlOf(user), { enableReadyCheck: false, disableClientInfo: true });
    try {
      for (const { pattern, command, words } of foreign) {
        const [name = '', ...sub] = command.split('|');
        const answer = client.call(name, ...sub, ...words).then(
          () => 'was let',
          (error: Error) => error.message,
        );
        assert.match(await answer, /^NOPERM/, `${command} of ${pattern}`);
      }
    } finally {
      client.disconnect();
    }
  });
}

const keyless = ['scan', 'time', 'client|setname'];

/** Some of Quarry's patterns lie within others. */
const isWithin = (pattern: string, patterns: Set<string>) =>
  [...patterns].some(one => one === pattern || (one.endsWith('*') && pattern.startsWith(one.slice(0, -1))));

test('nobody but the intake may write nonces, and nobody but worker and operator challenges', () => {
  const writers = (name: string) =>
    redisUsers.filter(user => {
      const found = rightsOf(user, config).keys.filter(({ pattern }) => pattern === `{quarry}:${name}`);
      return found.some(({ commands }) => commands.includes('set'));
    });
  assert.deepEqual([writers('nonce:*'), writers('http-01:*')], [['intake'], ['worker', 'cli']]);
});

test('a user of another name space cannot touch anything of Quarry', async () => {
  await makeUser('worker');
  const client = new Redis(urlOf('worker'), { enableReadyCheck: false });
  await assert.rejects(client.get('{other}:sign:1'), /^ReplyError: NOPERM/);
  await assert.rejects(client.get('{quarry}:storage:red:1'), /^ReplyError: NOPERM/); // the name has a *
  await assert.rejects(client.config('GET', '*'), /^ReplyError: NOPERM/);
  await assert.rejects(client.acl('WHOAMI'), /^ReplyError: NOPERM/);
  client.disconnect();
});

/** [what the user lacks, its role, what takes it away, what is said] */
const lacking: [string, RedisUser, string[], RegExp][] = [
  [
    'INFO',
    'worker',
    ['-info'],
    /does not allow this user \+info: give it the rights that quarry redis-acl prints$/,
  ],
  ['a whole category', 'scheduler', ['-@dangerous'], /\+info\b/],
  ['a command of scripts alone', 'worker', ['-zpopmin'], /\+zpopmin:/],
  ['MULTI', 'intake', ['-multi'], /\+multi\b/],
  ['a key', 'intake', ['resetkeys', '~{quarry}:sign:*'], /~\{quarry\}:nonce:\* .* and \d+ more: /],
  ['a channel', 'scheduler', ['resetchannels'], /&\{quarry\}:results\b/],
  ['the only command', 'responder', ['-mget'], /\+mget:/],
];

for (const [what, user, words, said] of lacking)
  test(`a ${user} whose user lacks ${what} finds that out in one look`, async () => {
    await makeUser(user, ...words);
    const fitness = await look(user);
    assert.ok(fitness.state === 'unfit', fitness.state);
    assert.match(fitness.fault, said);
    assert.ok(!/[\n]|secret/.test(fitness.fault));
  });

test('a user that Redis does not let in is no outage', async () => {
  await makeUser('worker', 'off');
  assert.deepEqual(await look('worker'), {
    state: 'unfit',
    fault: `Redis at 127.0.0.1:${redis.port} does not let the worker in (WRONGPASS): correct user and password (or password-file) in [redis]`,
  });
});

test('nothing that a look does stays in Redis', async () => {
  await admin.flushall();
  for (const user of redisUsers) {
    await makeUser(user);
    assert.equal((await look(user)).state, 'fit');
  }
  assert.equal(await admin.dbsize(), 0);
});
