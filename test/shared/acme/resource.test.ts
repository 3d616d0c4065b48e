import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fetchResource, listOrders } from '../../../shared/acme/resource.ts';
import { startWithAccount } from './account-ready.ts';
import { problem } from './fake-ca.ts';
import { never } from './open-connection.ts';

test('fetchResource() reads an object by POST-as-GET, as the CA sends it', async () => {
  await using ready = await startWithAccount();
  const { ca, connection, account } = ready;
  ca.on('/order/1', () => ({ body: { status: 'pending', more: [1] } }));
  const read = await fetchResource(connection, account, `${ca.url}/order/1`, never);
  assert.deepEqual(read, { url: `${ca.url}/order/1`, object: { status: 'pending', more: [1] } });
  const [{ method, kid, payload } = {}] = ca.requests.filter(({ path }) => path === '/order/1');
  assert.deepEqual([method, kid, payload], ['POST', account.url, undefined]);
});

test('fetchResource() rejects with gone where there is nothing, and with unexpected for what is no object', async () => {
  await using ready = await startWithAccount();
  const { ca, connection, account } = ready;
  ca.on('/gone', () => problem(404, 'malformed', 'no such order'));
  await assert.rejects(fetchResource(connection, account, `${ca.url}/gone`, never), { code: 'gone' });
  ca.on('/text', () => ({ body: 'a text' }));
  await assert.rejects(fetchResource(connection, account, `${ca.url}/text`, never), { code: 'unexpected' });
});

test('listOrders() follows the pages of the list, each once', async () => {
  await using ready = await startWithAccount();
  const { ca, connection, account } = ready;
  const at = (path: string) => `${ca.url}${path}`;
  ca.on('/account/1', () => ({ body: { status: 'valid', orders: at('/orders') } }));
  const next = (path: string) => ({ Link: `<${at('/dir')}>;rel="index", <${path}>;rel="next"` });
  ca.on('/orders', () => ({ headers: next('/orders?cursor=2'), body: { orders: ['https://ca.example/1'] } }));
  ca.on('/orders?cursor=2', () => ({
    headers: next(at('/orders')), // A CA that leads in circles.
    body: { orders: ['https://ca.example/2', 'https://ca.example/1', 7] },
  }));
  const { url, orders } = await listOrders(connection, account, never);
  assert.deepEqual([url, orders], [at('/orders'), ['https://ca.example/1', 'https://ca.example/2']]);
  assert.equal(ca.log().filter(line => line.startsWith('POST /orders')).length, 2);
});

test('listOrders() says so where the CA has no list', async () => {
  await using ready = await startWithAccount();
  const { ca, connection, account } = ready;
  ca.on('/account/1', () => ({ body: { status: 'valid' } }));
  await assert.rejects(listOrders(connection, account, never), { message: 'the CA names no list of orders' });
});
