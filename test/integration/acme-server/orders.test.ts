import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { checkOrder, kindOf, type OrderObject, readObject } from '../../support/acme-answers.ts';
import { type AcmeClient, toCsrField, toDns } from '../../support/acme-client.ts';
import { keyedEab, startAcmeFleet } from '../../support/acme-fleet.ts';
import { assertChain } from '../../support/chain.ts';
import { type Csr, makeCsr } from '../../support/csr.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { about, reached, sent } from '../faults/orders.ts';

// What becomes of an order of an ACME client: Quarry's roles, and a CA behind them.

const acme = await startAcmeFleet({ mgmt: 'wait = 1' });
after(() => acme[Symbol.asyncDispose]());
const { fleet } = acme;
const client = await acme.open();
after(() => client[Symbol.dispose]());
await client.newAccount({}, { eab: keyedEab });

type Placed = Awaited<ReturnType<AcmeClient['newOrder']>> & { csr: Csr; names: string[] };

async function place(...names: string[]): Promise<Placed> {
  const placed = await client.newOrder({ identifiers: toDns(...names) });
  assert.equal(placed.order.status, 'ready');
  return { ...placed, names, csr: await makeCsr({ names }) };
}

/** What one finalize request is answered, be it that the order is at work still. */
async function finalizeOnce({ order, url, csr }: Placed): Promise<OrderObject> {
  const answer = await client.post(order.finalize, { csr: toCsrField(csr.csrPem) });
  assert.equal(answer.headers.location, url);
  const current = readObject<OrderObject>(answer);
  checkOrder(current);
  const isAtWork = current.status === 'processing';
  assert.equal(/^[1-9]\d*$/.test(answer.headers['retry-after'] ?? ''), isAtWork, 'Retry-After');
  return current;
}

async function endOf({ url }: Placed): Promise<OrderObject> {
  let order = await client.readOrder(url);
  await waitUntil('the order to end', async () => {
    order = await client.readOrder(url);
    return order.status !== 'processing';
  });
  return order;
}

async function assertIssued({ names, csr }: Placed, { status, certificate, error }: OrderObject) {
  assert.equal(status, 'valid', JSON.stringify(error));
  const chain = await client.certificate(certificate ?? '');
  assertChain(chain, { names, keyPem: csr.keyPem, rootPem: await fleet.pebble.rootPem() });
}

test('a client gets a certificate for several names, and its trail leads from the admission to the issue', async () => {
  const placed = await place('a.example.org', 'b.example.org');
  await assertIssued(placed, await client.finalize(placed, placed.csr.csrPem));
  const events = (await fleet.redisClient.xrange('{quarry}:trail', '-', '+')).flatMap(([, fields]) =>
    fields.flatMap((field, at) => (at % 2 === 1 && fields[at - 1] === 'event' ? [JSON.parse(field)] : [])),
  );
  const own = events.filter(({ names }) => names?.includes('b.example.org'));
  assert.deepEqual(
    own.map(({ event, block }) => [event, block]),
    ['admitted', 'ordered', 'issued'].map(event => [event, 'keyed']),
  );
});

test('a name that the CA cannot validate makes the order invalid, with the problem of that name and no URL', async () => {
  await fleet.misdirect('bad.example.org');
  const placed = await place('good.example.org', 'bad.example.org');
  await finalizeOnce(placed);
  const { status, error } = await endOf(placed);
  assert.deepEqual([status, kindOf(error)], ['invalid', 'connection'], JSON.stringify(error));
  assert.match(error?.detail ?? '', /bad\.example\.org/);
  assert.doesNotMatch(JSON.stringify(error), /https?:/);
  const again = await client.post(client.directory.newOrder, { identifiers: toDns('x.example.net') });
  assert.equal(kindOf(again.problem), 'rejectedIdentifier');
});

test('a CA that takes longer than a client is held has the order processing, and finalized once', async () => {
  const name = 'slow.example.org';
  const held = fleet.ca.rule({ kind: 'finalize', when: about(name), do: { hold: 'after' } });
  const placed = await place(name);
  assert.equal((await finalizeOnce(placed)).status, 'processing');
  await held.hit();
  assert.equal((await finalizeOnce(placed)).status, 'processing');
  assert.equal((await client.readOrder(placed.url)).status, 'processing');
  held.remove();
  await assertIssued(placed, await endOf(placed));
  assert.equal(reached(sent(fleet.ca, name, 'newOrder')).length, 1);
});

test('an intake and a worker that are killed while they are at an order cost a retry, and no second order', async () => {
  const name = 'killed.example.org';
  const [intake] = fleet.all('intake');
  const [worker] = fleet.all('worker');
  const held = fleet.ca.rule({ kind: 'authorization', when: about(name), do: { hold: 'before' } });
  const placed = await place(name);
  const first = finalizeOnce(placed).then(
    order => order.status,
    () => 'cut off',
  );
  await held.hit();
  await intake?.kill();
  await worker?.kill();
  await first;
  held.remove();
  // The time after which a dead worker's jobs are another's; the next one looks for them as it starts.
  const [jobId = ''] = await fleet.redisClient.lrange('{quarry}:sign:active', 0, -1);
  await fleet.redisClient.sadd('{quarry}:sign:stalled', jobId);
  await fleet.redisClient.del(`{quarry}:sign:${jobId}:lock`, '{quarry}:sign:stalled-check');
  await Promise.all([acme.startIntake(), fleet.start('worker')]);
  await finalizeOnce(placed);
  await assertIssued(placed, await endOf(placed));
  assert.equal(reached(sent(fleet.ca, name, 'newOrder')).length, 1);
});
