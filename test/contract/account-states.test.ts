import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openAccountStates } from '../../shared/ca/account-states.ts';
import { openBreaker } from '../../shared/ca/breaker.ts';
import { caOf } from '../../shared/limits/limits.ts';
import { auth } from '../shared/setup/load-text.ts';
import { callQuarry, callQuarryWith } from '../support/call-quarry.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startOwnRedis } from './own-redis.ts';

// How accounts are, as the fleet knows it, in a real Redis.

const { url, redis, newStore } = await startOwnRedis();

/** In milliseconds, as Redis keeps it. */
async function redisNow(): Promise<number> {
  const [seconds = 0, micros = 0] = (await redis.time()).map(Number);
  return seconds * 1_000 + Math.floor(micros / 1_000);
}

const later = (than: number) => waitUntil('Redis to count on', async () => (await redisNow()) > than);

test("openAccountStates() keeps an account's state with the time of its last change", async () => {
  const states = openAccountStates(newStore());
  assert.equal(await states.read('default'), undefined);
  const [fault, open] = [{ fault: 'the CA is "away" - 100 %' }, { url: 'https://ca.example/account/1' }];
  const before = await redisNow();
  await states.write('default', fault);
  const first = await states.read('default');
  const { since = 0 } = first ?? {};
  assert.deepEqual(first, { ...fault, since });
  assert.ok(since >= before && since <= (await redisNow()), `${since}`);

  await later(since);
  await states.write('default', fault);
  assert.deepEqual(await states.read('default'), first, 'it is as it was');
  await states.write('default', open);
  const opened = await states.read('default');
  assert.deepEqual(opened, { ...open, since: opened?.since });
  assert.ok(Number(opened?.since) > since);

  await later(opened?.since ?? 0);
  await states.write('default', fault);
  assert.ok(Number((await states.read('default'))?.since) > Number(opened?.since), 'it is so again');
});

test('openAccountStates() keeps accounts apart, and fleets', async () => {
  const store = newStore();
  await openAccountStates(store).write('default', { fault: 'x' });
  assert.equal(await openAccountStates(store).read('zerossl'), undefined);
  assert.equal(await openAccountStates(newStore()).read('default'), undefined);
});

test('quarry ca prints a line for each account of the files, in their order, and asks no CA', async () => {
  const { prefix } = newStore();
  const store = { redis, prefix };
  // Nothing listens there.
  const second = 'https://127.0.0.1:1/second/dir';
  await openAccountStates(store).write('default', { url: 'https://ca.example/account/7' });
  await openAccountStates(store).write('second', { fault: 'the terms are not accepted' });
  const breaker = openBreaker(store, caOf(second));
  for (let times = 0; times < 3; times++) await breaker.failed('ECONNREFUSED');
  const accounts = `[account]
dir = a
acme-server = https://127.0.0.1:1/dir
[limits]
orders = 10/1h
[account "second"]
dir = b
acme-server = ${second}
[account "third"]
dir = c
acme-server = ${second}
`;
  const ini = `[redis]\nurl = ${url}\nprefix = ${prefix}\n${accounts}${auth}`;
  const { code, stdout, stderr } = await callQuarryWith(ini, ['ca', 'main.ini']);
  assert.deepEqual([code, stderr], [0, '']);
  const lines = stdout.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, 'T').split('\n');
  const away = 'breaker open since T: ECONNREFUSED; orders are not counted';
  assert.deepEqual(lines, [
    'account default, https://127.0.0.1:1/dir: ' +
      'open since T as https://ca.example/account/7; breaker closed; 10 of 10 orders left',
    `account second, ${second}: not open since T: the terms are not accepted; ${away}`,
    `account third, ${second}: no worker has opened it yet; ${away}`,
    '',
  ]);
});

test('quarry ca prints the CAA record of an account that is open, with the methods of all that orders from it', async () => {
  const { prefix } = newStore();
  const states = openAccountStates({ redis, prefix });
  for (const name of ['default', 'second', 'third', 'renewing'])
    await states.write(name, { url: `https://ca.example/${name}`, issuers: ['ca.example', 'b.example'] });
  await states.write('bare', { url: 'https://ca.example/bare' });
  await states.write('closed', { fault: 'no terms' });
  const others = ['second', 'third', 'renewing', 'bare', 'closed'];
  const accounts = ['', ...others.map(name => ` "${name}"`)].map(
    (name, at) => `[account${name}]\ndir = a${at}\n`,
  );
  const verifications = `[verification "http"]
type = http01
listener = 127.0.0.1:0
[verification "dns"]
type = dns01-server
listener = 127.0.0.1:0
zone = acme.example.org
`;
  const block = (name: string, accounts: string, verification: string) =>
    `[auth "${name}"]\nall = yes\ndomain = *\naccount = ${accounts}\nverification = ${verification}\n`;
  const blocks = [
    block('one', 'default, second', 'http'),
    block('two', 'second, bare, closed, renewing', 'dns, http'),
    '[renewal "hosts"]\nshaman-profile = .\naccount = renewing\nverification = http\n',
  ];
  const redisSection = `[redis]\nurl = ${url}\nprefix = ${prefix}\n`;
  const ini = [redisSection, ...accounts, verifications, ...blocks].join('');
  const { code, stdout, stderr } = await callQuarryWith(ini, ['ca', 'main.ini']);
  assert.deepEqual([code, stderr], [0, '']);
  const records = stdout.split('\n').filter(line => line.startsWith(' '));
  const record = (name: string, methods: string) =>
    `  CAA 0 issue "ca.example; accounturi=https://ca.example/${name}${methods}"`;
  assert.deepEqual(records, [
    record('default', '; validationmethods=http-01'),
    record('second', '; validationmethods=http-01,dns-01'),
    record('third', ''),
    record('renewing', ''),
  ]);
});

test('quarry ca wants a configuration file, and a Redis that it can reach', async () => {
  const without = await callQuarry(['ca']);
  assert.deepEqual(
    [without.code, without.stderr],
    [2, 'quarry: ca needs a configuration file: quarry ca main.ini\n'],
  );
  const ini = `[redis]\nurl = redis://127.0.0.1:1\n[account]\ndir = a\n${auth}`;
  const unreachable = await callQuarryWith(ini, ['ca', 'main.ini']);
  assert.deepEqual([unreachable.code, unreachable.stdout], [1, '']);
  assert.match(unreachable.stderr, /^quarry: Redis at 127\.0\.0\.1:1 cannot be reached/);
});
