import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AcmeClient, openAcmeClient } from '../../../shared/acme/client.ts';
import type { CaConnection } from '../../../shared/acme/connection.ts';
import { type TurnedClock, turnedClock } from '../../support/turned-clock.ts';
import { startWithAccount } from './account-ready.ts';
import { type CaAnswer, type FakeCa, problem } from './fake-ca.ts';
import { never } from './open-connection.ts';

// A replica of the CA that lags answers 404 for what another one has made.

type Ready = AsyncDisposable & { ca: FakeCa; client: AcmeClient; clock: TurnedClock };

async function start(signal = never): Promise<Ready> {
  const ready = await startWithAccount();
  const clock = turnedClock(0);
  const connection: CaConnection = { ...ready.connection, clock };
  const client = openAcmeClient(connection, ready.account, signal);
  return { ca: ready.ca, client, clock, [Symbol.asyncDispose]: () => ready[Symbol.asyncDispose]() };
}

/** Lets the CA know of a path only after so many questions. */
function lag(ca: FakeCa, path: string, questions: number, answer: CaAnswer): void {
  let asked = 0;
  ca.on(path, () => (asked++ < questions ? problem(404, 'malformed', 'no such thing') : answer));
}

const order = { status: 'ready', authorizations: [], finalize: 'https://ca.example/f' };
const identifier = { type: 'dns', value: 'a.example' };

const calls: [name: string, answer: CaAnswer, call: (client: AcmeClient, url: string) => Promise<unknown>][] =
  [
    ['getOrder', { body: order }, (client, url) => client.getOrder(url)],
    [
      'getAuthorization',
      { body: { status: 'valid', identifier, challenges: [] } },
      (client, url) => client.getAuthorization(url),
    ],
    ['initiateChallenge', { body: {} }, (client, url) => client.initiateChallenge(url)],
    [
      'finalize',
      { body: order },
      (client, url) =>
        client.finalize({ url, status: 'ready', authorizations: [], finalize: url }, Buffer.from('a CSR')),
    ],
    ['downloadChain', { body: 'a chain' }, (client, url) => client.downloadChain(url)],
  ];

for (const [name, answer, call] of calls)
  test(`${name}() asks again at the same URL, over some seconds, where a replica of the CA lags`, async () => {
    await using ready = await start();
    const { ca, client, clock } = ready;
    const url = `${ca.url}/thing`;
    lag(ca, '/thing', 2, answer);
    await call(client, url);
    assert.deepEqual(
      [ca.log().filter(line => line === 'POST /thing').length, clock.sleeps],
      [3, [500, 1_000]],
    );

    lag(ca, '/thing', 1_000, answer);
    ca.requests.length = 0;
    clock.sleeps.length = 0;
    await assert.rejects(call(client, url), { code: 'gone', message: 'the CA refused: no such thing' });
    const waited = clock.sleeps.reduce((sum, one) => sum + one, 0);
    assert.deepEqual([ca.log().filter(line => line === 'POST /thing').length, waited], [5, 7_500]);
  });

test('an account that does not exist is not waited for, and a lag may end in another refusal', async () => {
  await using ready = await start();
  const { ca, client, clock } = ready;
  ca.on('/order/1', () => problem(404, 'accountDoesNotExist', 'no such account'));
  await assert.rejects(client.getOrder(`${ca.url}/order/1`), { code: 'gone' });
  assert.deepEqual(clock.sleeps, []);
  lag(ca, '/order/1', 1, problem(403, 'unauthorized', 'not yours'));
  await assert.rejects(client.getOrder(`${ca.url}/order/1`), { code: 'misconfigured' });
  assert.deepEqual(clock.sleeps, [500]);
});

test('a new order that the CA calls unknown is not asked for again: nothing is known to be there', async () => {
  await using ready = await start();
  const { ca, client, clock } = ready;
  ca.on('/new-order', () => problem(404, 'malformed', 'no such page'));
  await assert.rejects(client.newOrder([]), { code: 'gone' });
  assert.deepEqual([ca.log().filter(line => line === 'POST /new-order').length, clock.sleeps], [1, []]);
});

test('the wait for a replica ends with the signal', async () => {
  const controller = new AbortController();
  await using ready = await start(controller.signal);
  const { ca, client } = ready;
  const reason = new Error('the worker has stopped');
  ca.on('/order/1', () => {
    controller.abort(reason);
    return problem(404, 'malformed', 'no such order');
  });
  await assert.rejects(client.getOrder(`${ca.url}/order/1`), error => error === reason);
  assert.equal(ca.log().filter(line => line === 'POST /order/1').length, 1);
});
