import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ClientCertificate, openCertificates } from '../../shared/acme-server/certificates.ts';
import { type Order, openOrders } from '../../shared/acme-server/orders.ts';
import { openSeals } from '../../shared/admission/hmac.ts';
import { runInTurn, type ScriptRun } from '../../shared/base/run-in-turn.ts';
import { orderRecord } from '../shared/acme-server/order-record.ts';
import { testSeals } from '../support/test-seals.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';

const { newStore } = await startOwnRedis();
const start = Date.parse('2026-11-27T12:00:00Z');
const DAY = 86_400_000;
const [old, next] = ['ab', 'cd'].map(byte => byte.repeat(32)) as [string, string];

function open() {
  const store = newStore();
  const orders = openOrders(store, testSeals, turnedClock(start));
  const certificates = openCertificates(store, testSeals);

  /** An order that was finalized, how it is to end, and the certificate that it brings. */
  async function finalize(
    fingerprint: string,
    { renewalId = `aki.${fingerprint}`, ...more }: Partial<Order> & { renewalId?: string } = {},
  ) {
    await orders.create(orderRecord({ id: `of ${fingerprint}`, ...more }));
    const kept = await orders.read(`of ${fingerprint}`);
    assert.ok(kept);
    const { id, account, block, identifiers } = kept.order;
    const certificate = {
      ...{ fingerprint, renewalId, chain: 'a chain', account, order: id, block },
      ...{ notBefore: start, notAfter: start + 90 * DAY, names: identifiers.map(({ value }) => value) },
    };
    const order = { ...kept.order, status: 'valid' as const, certificate: fingerprint };
    return { kept, ended: { order, certificate } };
  }

  async function issue(...ordered: Parameters<typeof finalize>): Promise<ClientCertificate> {
    const { kept, ended } = await finalize(...ordered);
    assert.ok(await orders.end(kept, ended));
    return ended.certificate;
  }

  return { store, orders, certificates, finalize, issue };
}

const named = (...values: string[]) => values.map(value => ({ type: 'dns' as const, value }));

test('a certificate is found by its fingerprint and by its renewal id, under the seal of the installation', async () => {
  const { store, certificates, issue } = open();
  const certificate = await issue(old);
  assert.deepEqual(await certificates.read(old), certificate);
  assert.deepEqual(await certificates.findByRenewalId(`aki.${old}`), certificate);
  for (const id of ['aki.other', '', '*']) assert.equal(await certificates.findByRenewalId(id), undefined);
  await store.redis.set(certificates.renewalKey('aki.other'), old);
  assert.equal(await certificates.findByRenewalId('aki.other'), undefined, 'it is called otherwise');
  const foreign = openCertificates(store, openSeals(Buffer.from('another secret')));
  assert.equal(await foreign.findByRenewalId(`aki.${old}`), undefined);
});

test('what became of a certificate is noted, however many do so at once, and what was noted first stays', async () => {
  const { store, certificates, issue } = open();
  const certificate = await issue(old);
  const life = await store.redis.pttl(certificates.key(old));
  await Promise.all([
    certificates.mark(old, { revoked: 1 }),
    certificates.mark(old, { reissue: 2 }),
    certificates.mark(old, { replacedBy: 'order-3' }),
  ]);
  await certificates.mark(old, { revoked: 4 });
  const marks = { revoked: 1, reissue: 2, replacedBy: 'order-3' };
  assert.deepEqual(await certificates.read(old), { ...certificate, ...marks });
  assert.ok((await store.redis.pttl(certificates.key(old))) > life - 60_000);
  await certificates.mark(next, { revoked: 1 });
  assert.equal(await certificates.read(next), undefined);
});

for (const [what, more, replacedBy] of [
  [
    'is of the same account and has a name in common',
    { identifiers: named('a.example', 'new.example') },
    `of ${next}`,
  ],
  ['is of another account', { account: 'account-2' }, undefined],
  ['has no name in common', { identifiers: named('new.example') }, undefined],
] as const)
  test(`a certificate is ${replacedBy ? '' : 'not '}replaced by one that ${what}`, async () => {
    const { certificates, issue } = open();
    await issue(old, { identifiers: named('a.example', 'b.example') });
    const order = { identifiers: named('a.example'), replaces: `aki.${old}`, ...more };
    await issue(next, { ...order, identifiers: [...order.identifiers] });
    assert.equal((await certificates.read(old))?.replacedBy, replacedBy);
    assert.equal((await certificates.read(next))?.replacedBy, undefined);
  });

test('a certificate is replaced in the moment in which the order ends that does so, or nothing is written', async () => {
  const { store, orders, certificates, finalize, issue } = open();
  const before = await issue(old);
  const { kept, ended } = await finalize(next, { replaces: `aki.${old}` });
  const run = (runs: ScriptRun[]) => runInTurn(store.redis, runs);

  const runs = await orders.ending(kept, ended);
  const changed = await orders.replace(kept, { ...kept.order, profile: 'changed meanwhile' });
  assert.ok(changed);
  assert.ok((await run(runs)) < runs.length);
  assert.deepEqual(await certificates.read(old), before);

  const again = await orders.ending(changed, ended);
  await certificates.mark(old, { revoked: 1 });
  assert.ok((await run(again)) < again.length);
  assert.deepEqual(await certificates.read(old), { ...before, revoked: 1 });
  assert.equal((await orders.read(ended.order.id))?.order.status, changed.order.status);

  const last = await orders.ending(changed, ended);
  assert.equal(await run(last), last.length);
  assert.deepEqual(await certificates.read(old), { ...before, revoked: 1, replacedBy: ended.order.id });
});
