import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openBudget } from '../../shared/limits/budget.ts';
import { callQuarryWith } from '../support/call-quarry.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';

const { url, redis, newStore } = await startOwnRedis();
const hour = 3_600_000;

test('quarry limits lists what is left of each share, also of those domains and sets that were asked for', async () => {
  const { prefix } = newStore();
  const limits = {
    orders: { count: 20, period: 24 * hour },
    certificatesPerDomain: { count: 10, period: 24 * hour },
    certificatesPerSet: { count: 5, period: 24 * hour },
  };
  const scope = { account: 'default', ca: '127.0.0.1:1' };
  const budget = openBudget({ redis, prefix }, scope, limits, turnedClock(Date.now()));
  const share = { name: 'web', part: 0.25, domains: new Map([['example.org', 0.25]]), rivalsForSet: 1 };
  const order = [{ type: 'dns' as const, value: 'www.example.org' }];
  for (const id of ['one', 'two']) {
    const claim = { id, what: id, rank: 0, patience: 0, share };
    assert.equal(await budget.takeOrder(order, claim), undefined);
    await budget.spendCertificate(order, claim);
  }
  const auth = (name: string, more: string) =>
    `[auth "${name}"]\nall = yes\ndomain = *.example.org\n${more}\n`;
  const ini = `[redis]
url = ${url}
prefix = ${prefix}
[account]
dir = a
acme-server = https://127.0.0.1:1/dir
[limits]
orders = 20/1d
certificates-per-domain = 10/1d
certificates-per-set = 5/1d
${auth('web', 'share = 25%')}${auth('mail', 'share = 40%')}${auth('rest', '')}`;
  const { code, stdout, stderr } = await callQuarryWith(ini, ['limits', 'main.ini']);
  assert.deepEqual([code, stderr], [0, '']);
  const lines = stdout.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/, 'T').replace(/[0-9a-f]{16}/, 'SET');
  assert.deepEqual(lines.split('\n'), [
    'nothing is held back',
    'share/web@default  3 of 5 orders left',
    'share/mail@default  8 of 8 orders left',
    'share/*@default  7 of 7 orders left',
    'share/web/domain/example.org@127.0.0.1:1  0 of 2 certificates left',
    'share/web/set/SET@127.0.0.1:1  all certificates left by T',
    '',
  ]);
});
