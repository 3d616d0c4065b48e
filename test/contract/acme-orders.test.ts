import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openCertificates } from '../../shared/acme-server/certificates.ts';
import { type Order, openOrders } from '../../shared/acme-server/orders.ts';
import { openSeals } from '../../shared/admission/hmac.ts';
import { orderRecord } from '../shared/acme-server/order-record.ts';
import { testSeals } from '../support/test-seals.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';

const { redis, newStore } = await startOwnRedis();
const start = Date.parse('2026-11-27T12:00:00Z');
const DAY = 86_400_000;

function open() {
  const [store, clock] = [newStore(), turnedClock(start)];
  const orders = openOrders(store, testSeals, clock);
  const toKept = async (id: string) => {
    const kept = await orders.read(id);
    assert.ok(kept, id);
    return kept;
  };
  const lifeOf = async (name: string) => redis.pttl(`${store.prefix}:acme:${name}`);
  return { store, clock, orders, toKept, lifeOf, certificates: openCertificates(store, testSeals) };
}

const certificateOf = ({ id, account, block }: Order, notAfter: number) => ({
  ...{ fingerprint: 'ab'.repeat(32), renewalId: 'aki.serial', chain: 'a chain', account, order: id, block },
  ...{ notBefore: start, notAfter, names: ['a.example'] },
});

const isAbout = (actual: number, expected: number) => actual > expected - 60_000 && actual <= expected;

test('an order is there for a day, as it was made', async () => {
  const { orders, toKept, lifeOf } = open();
  const order = orderRecord();
  assert.equal(await orders.create(order), undefined);
  assert.deepEqual((await toKept('order-1')).order, order);
  assert.ok(isAbout(await lifeOf('order:order-1'), DAY));
});

test('what bears no seal of this installation, or that of another order, is no order', async () => {
  const { store, clock, orders, toKept } = open();
  await openOrders(store, openSeals(Buffer.from('another secret')), clock).create(orderRecord());
  assert.equal(await orders.read('order-1'), undefined);
  await orders.create(orderRecord({ id: 'order-2' }));
  await redis.set(orders.key('order-3'), (await toKept('order-2')).text);
  assert.equal(await orders.read('order-3'), undefined);
});

test('of two who change an order at once, one is told that the other was faster', async () => {
  const { orders, toKept, lifeOf } = open();
  await orders.create(orderRecord());
  const read = await toKept('order-1');
  const done = await Promise.all(
    ['job-1', 'job-2'].map(job => orders.replace(read, { ...read.order, status: 'processing', job })),
  );
  assert.deepEqual(
    done.map(one => one?.order.job),
    ['job-1', undefined],
  );
  const after = await toKept('order-1');
  assert.deepEqual(after, done[0]);
  assert.ok(isAbout(await lifeOf('order:order-1'), DAY));
  assert.equal(await orders.end(read, { order: { ...read.order, status: 'invalid' } }), undefined);
});

test('an order that is finalized in its last minute outlives its job, and can be read when that has failed', async () => {
  const { clock, orders, toKept, lifeOf } = open();
  await orders.create(orderRecord());
  await redis.pexpire(orders.key('order-1'), 60_000);
  const kept = await toKept('order-1');
  const bound = await orders.replace(kept, { ...kept.order, status: 'processing', job: 'job-1' });
  assert.ok(bound);
  assert.ok(isAbout(await lifeOf('order:order-1'), DAY / 12));
  clock.turn(DAY);
  assert.ok(await orders.end(bound, { order: { ...bound.order, status: 'invalid' } }));
  assert.ok(isAbout(await lifeOf('order:order-1'), 15 * 60_000));
});

test('a certificate is written with the end of its order, lives as long, and its account for ever', async () => {
  const { store, orders, certificates, toKept, lifeOf } = open();
  const root = `${store.prefix}:acme`;
  for (const name of ['account:account-1', 'key:its thumbprint'])
    await redis.set(`${root}:${name}`, 'an account', 'PX', 1_000_000);
  await redis.hset(`${root}:use:account-1`, { key: 'its thumbprint' });
  await redis.pexpire(`${root}:use:account-1`, 1_000_000);
  await orders.create(orderRecord());
  const kept = await toKept('order-1');
  const certificate = certificateOf(kept.order, start + 90 * DAY);
  const order: Order = { ...kept.order, status: 'valid', certificate: certificate.fingerprint };
  const ended = await orders.end(kept, { order, certificate });
  assert.deepEqual(await toKept('order-1'), ended);
  assert.equal(await orders.end(kept, { order, certificate }), undefined);

  const { fingerprint } = certificate;
  const text = await redis.get(certificates.key(fingerprint));
  assert.deepEqual(certificates.parse(fingerprint, text), certificate);
  assert.equal(certificates.parse('cd'.repeat(32), text), undefined);
  assert.equal(await redis.get(certificates.renewalKey('aki.serial')), fingerprint);
  for (const name of [
    'order:order-1',
    `certificate:${fingerprint}`,
    'renewal:aki.serial',
    'orders:account-1',
  ])
    assert.ok(isAbout(await lifeOf(name), 90 * DAY), name);
  for (const name of ['account:account-1', 'key:its thumbprint', 'use:account-1'])
    assert.equal(await lifeOf(name), -1, name);
  assert.equal(await redis.hget(`${root}:use:account-1`, 'certificates'), '1');
  assert.equal(await redis.zscore(`${root}:accounts`, 'account-1'), 'inf');
});

test('an account has so many orders at once that are not finished; those that bring a certificate or expire make room', async () => {
  const { clock, orders, toKept, lifeOf } = open();
  const make = (at: number) => orders.create(orderRecord({ id: `order-${at}`, created: clock.now() }));
  for (let at = 1; at <= 300; at++) assert.equal(await make(at), undefined);
  assert.equal(await make(301), start + DAY);
  assert.equal(await orders.read('order-301'), undefined);
  assert.equal(await orders.create(orderRecord({ account: 'account-2', id: 'of another' })), undefined);

  const kept = await toKept('order-7');
  const certificate = certificateOf(kept.order, start + 90 * DAY);
  await orders.end(kept, { order: { ...kept.order, status: 'valid' }, certificate });
  assert.equal(await make(301), undefined);
  assert.equal(await make(302), start + DAY);

  // One that fails is there to be read for a while, and takes its place as long.
  const failed = await toKept('order-8');
  await orders.end(failed, { order: { ...failed.order, status: 'invalid' } });
  const shown = 15 * 60_000;
  assert.ok(isAbout(await lifeOf('order:order-8'), shown));
  assert.equal(await make(302), start + shown);
  clock.turn(shown);
  assert.equal(await make(302), undefined);
  assert.equal(await make(303), start + DAY);
  clock.turn(DAY);
  assert.equal(await make(303), undefined);
});

test("the list of an account's orders goes back page by page, and leaves out what is gone or invalid", async () => {
  const { orders } = open();
  const ids = Array.from({ length: 250 }, (_, at) => `order-${at}`);
  for (const id of ids) await orders.create(orderRecord({ id })); // all at the same moment
  await redis.del(orders.key('order-249'), orders.key('order-100'));
  const failed = await orders.read('order-7');
  assert.ok(failed && (await orders.replace(failed, { ...failed.order, status: 'invalid' })));
  const listed: string[] = [];
  let pages = 0;
  for (let cursor: number | undefined, last = false; !last; pages++) {
    const page = await orders.list('account-1', cursor);
    listed.push(...page.ids);
    cursor = page.next;
    last = cursor === undefined;
  }
  assert.equal(pages, 3);
  assert.deepEqual(listed, ids.filter(id => !['order-249', 'order-100', 'order-7'].includes(id)).reverse());
  assert.deepEqual(await orders.list('account-2'), { ids: [] });
});
