import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceError, toDamage } from '../../../shared/base/errors.ts';
import { needingRedis } from '../../../shared/base/redis.ts';
import { judgeRedisError } from '../../../shared/base/redis-errors.ts';

const reply = (message: string, more: object = {}) =>
  Object.assign(new Error(message), { name: 'ReplyError', ...more });
const on = 'script: 1f8f4cfba6f3375f8c4ec02b9de4361a5dea5c64, on @user_script:1.';
const oldScript = 'ERR Error running script (call to f_1f8f4cfb): @user_script:1:';

// What Redis 6.2, 7 and 8 and Valkey answer, and what ioredis says.
const refusals: [said: string, words: RegExp][] = [
  ["OOM command not allowed when used memory > 'maxmemory'.", /its memory is full \(OOM\)/],
  [`OOM command not allowed when used memory > 'maxmemory'. ${on}`, /OOM/],
  [`${oldScript} @user_script: 1: -OOM command not allowed when used memory > 'maxmemory'. `, /OOM/],
  ['MISCONF Redis is configured to save RDB snapshots, but it cannot.', /its disk \(MISCONF\)/],
  ['MISCONF Errors writing to the AOF file: No space left on device', /MISCONF/],
  ['NOREPLICAS Not enough good replicas to write.', /too few of its replicas follow it/],
  [`${oldScript} -NOREPLICAS Not enough good replicas to write.`, /NOREPLICAS/],
  ["READONLY You can't write against a read only replica.", /it is a replica \(READONLY\)/],
  [`${oldScript} -READONLY You can't write against a read only replica.`, /READONLY/],
  ["NOPERM this user has no permissions to run the 'set' command", /has not the right \(NOPERM\)/],
  [`ERR The user executing the script can't run this command or subcommand ${on}`, /NOPERM/],
  [`${oldScript} The user executing the script can't run this command or subcommand`, /NOPERM/],
  ['NOAUTH Authentication required.', /it wants a login/],
  ['WRONGPASS invalid username-password pair or user is disabled.', /user and password/],
  ['MOVED 3999 127.0.0.1:6381', /one node of a cluster/],
  ['ASK 3999 127.0.0.1:6381', /one node of a cluster/],
  ['EXECABORT Transaction discarded because of: OOM command not allowed', /OOM/],
];

const system = (code: string) => Object.assign(new Error(`connect ${code}`), { code, syscall: 'connect' });

const absences: Error[] = [
  reply('LOADING Redis is loading the dataset in memory'),
  reply("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
  reply('CLUSTERDOWN The cluster is down'),
  reply('TRYAGAIN Multiple keys request during rehashing of slot'),
  reply('BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.'),
  reply('UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)'),
  reply('ERR max number of clients reached'),
  new Error('Connection is closed.'),
  new Error("Stream isn't writeable and enableOfflineQueue options is false"),
  new Error('Command timed out'),
  new Error('Too many Cluster redirections. Last error: ReplyError: MOVED 3999 127.0.0.1:6381'),
  Object.assign(new Error('Command aborted due to connection close'), { name: 'AbortError' }),
  Object.assign(new Error('Reached the max retries per request limit'), {
    name: 'MaxRetriesPerRequestError',
  }),
  ...['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'ENOTFOUND', 'EHOSTUNREACH'].map(system),
];

const damages = [
  'WRONGTYPE Operation against a key holding the wrong kind of value',
  `WRONGTYPE Operation against a key holding the wrong kind of value ${on}`,
  `ERR user_script:1: attempt to perform arithmetic on a nil value ${on}`,
  `${oldScript} user_script:1: attempt to compare nil with number`,
];

const others = [
  'NOSCRIPT No matching script. Please use EVAL.',
  "ERR unknown command 'SETT', with args beginning with: 'a' 'b'",
  'ERR syntax error',
  'BUSYGROUP Consumer Group name already exists',
  'the orders of an OOM killer', // no answer of Redis
];

const tellClient = (error: unknown) => needingRedis(() => Promise.reject(error)).catch(told => told);

test('where Redis refuses, clients read why', async () => {
  for (const [said, words] of refusals) {
    const error = reply(said);
    const told = await tellClient(error);
    assert.equal(told.code, 'unavailable', said);
    assert.match(told.message, /^Redis refuses to write: [^\n]+$/);
    assert.match(told.message, words);
    assert.equal(toDamage(error), undefined, said);
  }
});

test('a transaction that was discarded is refused as its commands were', async () => {
  const cause = reply('NOREPLICAS Not enough good replicas to write.');
  const words = 'EXECABORT Transaction discarded because of previous errors.';
  const told = await tellClient(reply(words, { previousErrors: [cause] }));
  assert.match(told.message, /^Redis refuses to write: .*\(NOREPLICAS\)$/);
});

test('where nobody serves the data, Redis cannot be reached', async () => {
  for (const error of absences) {
    assert.deepEqual(judgeRedisError(error), { kind: 'away' }, error.message);
    assert.equal((await tellClient(error)).message, 'Redis cannot be reached');
  }
});

test('what a script stumbles over is damage', () => {
  for (const said of damages) {
    const damage = toDamage(reply(said), ['{quarry}:budget:a']);
    assert.match(damage?.message ?? said, /^the value of \{quarry\}:budget:a in Redis is damaged/);
  }
});

test('mistakes, and errors that are not of Redis, are neither', () => {
  const mistakes = others.map(said => reply(said));
  for (const error of [
    ...mistakes,
    new IssuanceError('gone', 'OOM'),
    new TypeError('no'),
    'OOM',
    undefined,
  ]) {
    assert.equal(judgeRedisError(error), undefined, String(error));
  }
});
