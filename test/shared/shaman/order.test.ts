import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { IssuanceError } from '../../../shared/base/basics.ts';
import { openCaOf } from '../../../shared/ca/open-ca.ts';
import { newCheckpoint, newOrderState } from '../../../shared/order/next-step.ts';
import { DomainEntry, openShamanFile } from '../../../shared/shaman/file.ts';
import { findOrder, type Ordering, orderCertificate } from '../../../shared/shaman/order.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { taskFor } from '../order/drive.ts';
import { scriptCa } from '../order/scripted-ca.ts';

const name = 'a.example';
const away = () => new IssuanceError('unavailable', 'the CA is away');

/** A domain in a `shaman.json`, and a CA of a script. */
async function start() {
  const dir = await tempDir();
  const server = 'https://ca.example/directory';
  await writeFile(join(dir.path, 'shaman.json'), JSON.stringify({ server, domains: { [name]: {} } }));
  const file = openShamanFile(dir.path);
  const script = scriptCa();
  const clock = turnedClock(0);
  const account = async () => ({ keyPem: '', url: script.accountUrl });
  const ca = openCaOf({ name: 'shaman.json', directoryUrl: server, ca: undefined }, account, clock);
  const ordering: Ordering = {
    accounts: { actAs: (_, act) => act(script) },
    solversOf: () => [script.solver],
    claimant: '',
    onLimit: async () => {},
    confirm: async () => {},
    clock,
    signal: new AbortController().signal,
  };
  const readEntry = async () => {
    const [domain] = (await file.read()).domains;
    assert.ok(domain);
    return new DomainEntry(file, domain, quietLog);
  };
  const order = async (from = newCheckpoint()) =>
    orderCertificate(ordering, ca, await readEntry(), taskFor(name), from);
  const find = async () => findOrder(ordering, ca, await readEntry());
  const orders = () => script.calls.filter(call => call === 'newOrder').length;
  const domain = async () => (await readEntry()).domain;
  return { script, clock, order, find, orders, domain, [Symbol.asyncDispose]: dir[Symbol.asyncDispose] };
}

test('shaman sits a CA out that is away for a moment, with one order', async () => {
  await using ready = await start();
  const { script, clock, order, orders } = ready;
  for (const call of ['getAuthorization', 'finalize', 'download']) script.failNext.set(call, away());
  assert.equal((await order()).chain, 'the chain');
  assert.equal(orders(), 1);
  assert.ok(clock.sleeps.filter(ms => ms >= 750).length >= 3);
});

test('shaman asks a CA that is away five times in a row, and leaves the order to the next run', async () => {
  await using ready = await start();
  const { script, order } = ready;
  let asked = 0;
  script.getOrder = async () => {
    asked++;
    throw away();
  };
  await assert.rejects(order(), /the CA is away/);
  assert.equal(asked, 5);
  assert.equal(script.presented.size, 0);
});

test('shaman leaves an order that the CA is too long away for as it stands, but for what was presented', async () => {
  await using ready = await start();
  const { script, order, orders, domain, find } = ready;
  const until = new IssuanceError('unavailable', 'come back', { retryAfter: 61_000 });
  script.failNext.set('initiate', until);
  await assert.rejects(order(), until);
  assert.equal(script.presented.size, 0);
  const { orderUrl, memory } = await domain();
  assert.equal(orderUrl, script.order.url);
  assert.deepEqual(memory.order?.challenges, []);
  const found = await find();
  assert.deepEqual(found?.order, { ...newOrderState(), url: script.order.url });
  assert.equal(found?.turn, 'counted');
  assert.equal((await order(found)).chain, 'the chain');
  assert.equal(orders(), 1);
});

test('shaman makes one new order at once where the CA has lost one, and leaves it at that', async () => {
  await using ready = await start();
  const { script, order, orders } = ready;
  const gone = () => new IssuanceError('gone', 'no such order');
  script.failNext.set('getAuthorization', gone());
  assert.equal((await order()).chain, 'the chain');
  assert.equal(orders(), 2);
  script.getAuthorization = async () => {
    throw gone();
  };
  await assert.rejects(order(), /no such order/);
  assert.equal(orders(), 4);
});

test('shaman makes no new order where it is the account that the CA has lost', async () => {
  await using ready = await start();
  const { script, order, orders } = ready;
  const problem = { type: 'urn:ietf:params:acme:error:accountDoesNotExist' };
  const lost = new IssuanceError('gone', 'no such account', { problem });
  script.failNext.set('newOrder', lost);
  await assert.rejects(order(), lost);
  assert.equal(orders(), 1);
});

test('shaman does not wait for a rate limit', async () => {
  await using ready = await start();
  const { script, order } = ready;
  script.failNext.set('newOrder', new IssuanceError('rateLimited', 'too many', { retryAfter: 30_000 }));
  await assert.rejects(order(), /too many/);
  assert.deepEqual(script.calls, ['newOrder']);
});
