import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { RouterContext } from '@koa/router';
import { accountRoute } from '../../services/intake/acme/account.ts';
import { keyChangeRoute } from '../../services/intake/acme/key-change.ts';
import { type Account, newAccountId, openAccounts } from '../../shared/acme-server/accounts.ts';
import { openOrders } from '../../shared/acme-server/orders.ts';
import { openUrls } from '../../shared/acme-server/urls.ts';
import type { Redis } from '../../shared/base/redis.ts';
import { orderRecord } from '../shared/acme-server/order-record.ts';
import { makeClientKey } from '../support/acme-jws.ts';
import { testSeals } from '../support/test-seals.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startOwnRedis } from './own-redis.ts';

const { newStore } = await startOwnRedis();
const start = Date.parse('2026-11-27T12:00:00Z');
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const told = { at: start, event: 'account-changed' } as const;

function newAccount(more: Partial<Account> = {}): Account {
  const { jwk, thumbprint } = makeClientKey();
  const id = newAccountId();
  return {
    ...{ id, key: jwk as Account['key'], thumbprint, status: 'valid', contacts: [], created: start },
    ...{ client: '192.0.2.1', ...more },
  };
}

/** Accounts in a store of their own, with one in it. */
async function open() {
  const [store, clock] = [newStore(), turnedClock(start)];
  const accounts = openAccounts(store, testSeals, clock);
  const account = newAccount();
  await accounts.create(account, told);
  const kept = await accounts.read(account.id);
  assert.ok(kept);
  const root = `${store.prefix}:acme:`;
  const [record, use] = [`${root}account:${account.id}`, `${root}use:${account.id}`];
  const byKey = (thumbprint: string) => `${root}key:${thumbprint}`;
  return { ...store, store, clock, accounts, account, kept, record, use, byKey, all: `${root}accounts` };
}

const isIdle = (life: number) => life > 29 * DAY && life <= 30 * DAY;

suite('the record of an account', () => {
  test('is changed only as it was read, so that of two changes none is lost', async () => {
    const { accounts, account, kept } = await open();
    const other = { ...account, contacts: ['mailto:a@example.org'] };
    assert.equal(await accounts.replace(kept, other), true);
    assert.equal(await accounts.replace(kept, { ...account, status: 'deactivated' }), false);
    const next = newAccount();
    const after = { ...account, key: next.key, thumbprint: next.thumbprint };
    assert.equal(await accounts.changeKey(kept, after, told), 'late');
    assert.deepEqual((await accounts.read(account.id))?.account, other);
    assert.equal(await accounts.findByKey(next.thumbprint), undefined);
  });

  test('lives on as long as before when it is changed', async () => {
    const { accounts, account, kept, redis, record, use, byKey } = await open();
    assert.equal(await accounts.replace(kept, { ...account, contacts: ['mailto:a@example.org'] }), true);
    assert.ok(isIdle(await redis.pttl(record)));
    const changed = await accounts.read(account.id);
    const { key, thumbprint } = newAccount();
    assert.ok(changed);
    assert.equal(await accounts.changeKey(changed, { ...changed.account, key, thumbprint }, told), 'changed');
    for (const one of [record, use, byKey(thumbprint)]) assert.ok(isIdle(await redis.pttl(one)), one);
    assert.equal(await redis.get(byKey(account.thumbprint)), null);
    assert.equal((await accounts.findByKey(thumbprint))?.account.id, account.id);
  });
});

suite('an account that comes', () => {
  test('is noted once an hour by a process, and stays for thirty days more', async () => {
    const { accounts, account, redis, clock, use, all, record } = await open();
    const seen = () => redis.hget(use, 'seen');
    await redis.pexpire(record, DAY);
    clock.turn(DAY);
    accounts.noteSeen(account);
    await waitUntil('it to be noted', async () => (await seen()) === String(start + DAY));
    assert.ok(isIdle(await redis.pttl(record)));
    assert.equal(await redis.zscore(all, account.id), String(start + 31 * DAY));
    clock.turn(HOUR - 1);
    accounts.noteSeen(account);
    assert.equal(await seen(), String(start + DAY)); // by the same connection, so it comes after
    clock.turn(1);
    accounts.noteSeen(account);
    assert.equal(await seen(), String(start + DAY + HOUR));
  });

  test('leaves nothing where it is gone, and is noted again where Redis did not take it', async () => {
    const { accounts, account, redis, record, use, all, store, clock } = await open();
    await redis.del(record, use, all);
    accounts.noteSeen(account);
    assert.equal(await redis.exists(record, use, all), 0);

    let asked = 0;
    const evalsha = () => {
      asked++;
      return Promise.reject(new Error('Connection is closed.'));
    };
    const away = { evalsha } as unknown as Redis;
    const others = openAccounts({ ...store, redis: away }, testSeals, clock);
    others.noteSeen(account);
    others.noteSeen(account);
    await new Promise(resolve => setImmediate(resolve));
    others.noteSeen(account);
    assert.equal(asked, 2);
  });

  test('reads that it is deactivated where that happened while its request was looked at', async () => {
    const { accounts, account, kept, clock } = await open();
    await accounts.replace(kept, { ...account, status: 'deactivated' });
    const parts = { accounts, urls: openUrls('https://quarry.example.org/acme'), clock };
    const ctx = { params: { id: account.id }, state: {} } as unknown as RouterContext;
    const refused = { kind: 'unauthorized', status: 401 };
    const by = { account, payload: { contact: ['mailto:a@example.org'] }, text: undefined };
    await assert.rejects(accountRoute(parts)(ctx, by), refused);
    await assert.rejects(keyChangeRoute(parts)(ctx, { ...by, payload: {} }), refused);
    assert.deepEqual((await accounts.read(account.id))?.account.contacts, []);
  });
});

suite('an account that has issued', () => {
  test('stays for ever, with what leads to it by its key, also after that is changed', async () => {
    const { accounts, account, redis, store, clock, record, use, byKey, all } = await open();
    const orders = openOrders(store, testSeals, clock);
    const order = orderRecord({ account: account.id });
    await orders.create(order);
    const kept = await orders.read(order.id);
    assert.ok(kept);
    const certificate = {
      ...{ fingerprint: 'ab'.repeat(32), renewalId: 'aki.serial', chain: 'a chain', order: order.id },
      account: account.id,
      ...{ block: 'web', notBefore: start, notAfter: start + 90 * DAY, names: ['a.example'] },
    };
    assert.ok(await orders.end(kept, { order: { ...order, status: 'valid' }, certificate }));
    for (const one of [record, use, byKey(account.thumbprint)]) assert.equal(await redis.pttl(one), -1, one);
    assert.equal(await redis.zscore(all, account.id), 'inf');
    assert.equal(await redis.hget(use, 'certificates'), '1');

    clock.turn(40 * DAY);
    await redis.del(all); // as a Redis that has lost something
    accounts.noteSeen(account);
    await accounts.create(newAccount(), told); // forgets those whose end has come
    assert.equal(await redis.zscore(all, account.id), 'inf');
    const { key, thumbprint } = newAccount();
    const before = await accounts.read(account.id);
    assert.ok(before);
    await accounts.changeKey(before, { ...account, key, thumbprint }, told);
    for (const one of [record, use, byKey(thumbprint)]) assert.equal(await redis.pttl(one), -1, one);
    assert.equal(await redis.hget(use, 'key'), thumbprint);
  });
});
