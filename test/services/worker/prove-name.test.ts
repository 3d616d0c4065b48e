import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { proveName } from '../../../services/worker/prove-name.ts';
import type { Kept, Order } from '../../../shared/acme-server/orders.ts';
import type { ClientProof } from '../../../shared/admission/client-proof.ts';
import type { ProofJobData } from '../../../shared/queue/acme-queue.ts';
import { orderRecord } from '../../shared/acme-server/order-record.ts';
import { keptLog } from '../../support/kept-log.ts';
import { listen } from '../../support/listen.ts';
import { turnedClock } from '../../support/turned-clock.ts';

const data: ProofJobData = {
  ...{ kind: 'proof', block: 'web', order: 'order-1', authorization: 0, challenge: 'http-01' },
  ...{ thumbprint: 'thumbprint', requestId: 'request-1' },
};
const never = new AbortController().signal;

/** Orders in memory; each change of `meanwhile` comes in between a read and a write. */
function openFakeOrders(first: Order, meanwhile: ((order: Order) => Order)[] = []) {
  let order: Order | undefined = first;
  const ended: Order[] = [];
  const write = async ({ text }: Kept, after: Order) => {
    const change = meanwhile.shift();
    if (change && order) order = change(order);
    if (!order || text !== JSON.stringify(order)) return undefined;
    order = after;
    return { order, text: JSON.stringify(order) };
  };
  return {
    ended,
    get order() {
      return order;
    },
    lose() {
      order = undefined;
    },
    orders: {
      read: async () => order && { order, text: JSON.stringify(order) },
      replace: write,
      async end(kept: Kept, { order: after }: { order: Order }) {
        const written = await write(kept, after);
        if (written) ended.push(after);
        return written;
      },
    },
  };
}

const pending = (): Order =>
  orderRecord({
    ...{ status: 'pending', client: '127.0.0.1', identifiers: [{ type: 'ip', value: '127.0.0.1' }] },
    authorizations: [
      { status: 'pending', challenges: [{ type: 'http-01', token: 'token', status: 'processing' }] },
    ],
  });

type Fake = ReturnType<typeof openFakeOrders>;

/** One attempt, where the client answers so. */
async function attempt(fake: Fake, answer: string, { last = false, networks = ['127.0.0.0/8'] } = {}) {
  const asked: string[] = [];
  await using server = await listen(({ url = '' }, response) => {
    asked.push(url);
    response.end(answer);
  });
  const { log, lines } = keptLog();
  const clientProof: ClientProof = { types: ['http-01'], networks };
  const proof = { resolvers: [], httpPort: server.port, tlsPort: 1, tries: 6 };
  const parts = { orders: fake.orders, blocks: new Map([['web', { clientProof }]]), proof };
  const isOver = await proveName({ ...parts, clock: turnedClock(1_000), log }, data, last, never);
  return { isOver, asked, lines };
}

suite('a worker that looks for the proof of a client', () => {
  test('writes into the order that it was seen', async () => {
    const fake = openFakeOrders(pending());
    const { isOver, asked } = await attempt(fake, 'token.thumbprint');
    assert.deepEqual([isOver, asked], [true, ['/.well-known/acme-challenge/token']]);
    assert.equal(fake.order?.status, 'ready');
    assert.deepEqual(fake.order?.authorizations[0]?.challenges[0]?.validated, 1_000);
  });

  test('comes again until its last attempt, which ends the order', async () => {
    const fake = openFakeOrders(pending());
    const { isOver } = await attempt(fake, 'of another account');
    assert.deepEqual([isOver, fake.order?.status], [false, 'pending']);
    assert.match(`${fake.order?.authorizations[0]?.challenges[0]?.error?.detail}`, /another answer/);
    const end = await attempt(fake, 'of another account', { last: true });
    assert.deepEqual([end.isOver, fake.order?.status, fake.ended.length], [true, 'invalid', 1]);
    assert.equal(fake.order?.error?.type, 'urn:ietf:params:acme:error:incorrectResponse');
  });

  test('looks only where the block of the order allows it', async () => {
    const fake = openFakeOrders(pending());
    const { asked, lines } = await attempt(fake, 'token.thumbprint', { networks: [] });
    assert.deepEqual(asked, []);
    assert.doesNotMatch(JSON.stringify(fake.order), /which is not public/);
    assert.match(`${lines[0]?.hidden}`, /127\.0\.0\.1, which is not public/);
  });

  test('writes again where somebody else was faster', async () => {
    const fake = openFakeOrders(pending(), [order => ({ ...order, expires: 1 })]);
    await attempt(fake, 'token.thumbprint');
    assert.deepEqual([fake.order?.status, fake.order?.expires], ['ready', 1]);
  });

  test('changes nothing of an order that is over meanwhile, and does not look for one that is', async () => {
    const over = openFakeOrders(pending(), [order => ({ ...order, status: 'invalid' })]);
    assert.equal((await attempt(over, 'token.thumbprint')).isOver, true);
    assert.equal(over.order?.authorizations[0]?.status, 'pending');
    assert.deepEqual(await attempt(over, 'token.thumbprint').then(({ asked }) => asked), []);
    over.lose();
    assert.deepEqual(await attempt(over, 'token.thumbprint').then(({ asked, isOver }) => [asked, isOver]), [
      [],
      true,
    ]);
  });
});
