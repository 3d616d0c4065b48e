import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ecKey, makeCsr } from '../shared/pki/openssl-csr.ts';
import { toCsrField } from '../support/acme-client.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Answer, openGround } from './acme-intake.ts';
import { startOwnRedis } from './own-redis.ts';

const own = await startOwnRedis();
const csrFor = (name: string, key: string) => ({ csr: toCsrField(makeCsr({ names: `DNS:${name}`, key })) });
const kindOf = ({ json }: Answer) => String(json.type).replace('urn:ietf:params:acme:error:', '');

test('of what is asked of an order at once, at two intakes, one thing happens, and all are told the same', async () => {
  await using ground = await openGround(own);
  const { post, newOrder } = await ground.openAccount('account-1');
  const second = await ground.openIntake();
  const worker = ground.openWorker();
  const [first, other] = [ecKey(), ecKey('P-384')];
  const ended: string[] = [];
  for (let round = 0; round < 8; round++) {
    const name = `n${round}.example.org`;
    const { json, orderUrl, orderId } = await newOrder([name]);
    const { finalize, authorizations } = json;
    const asks = [
      () => post(finalize, csrFor(name, first)),
      () => post(finalize, csrFor(name, other), second),
      () => post(finalize, csrFor(name, first), second),
      () => post(orderUrl, undefined, second),
      // It is the quickest, and so wins nearly always.
      ...(round % 4 === 3 ? [() => post(authorizations[0] ?? '', { status: 'deactivated' })] : []),
    ];
    const turned = [...asks.slice(round % asks.length), ...asks.slice(0, round % asks.length)];
    const answers = await Promise.all(turned.map(ask => ask()));
    for (const answer of answers)
      assert.ok(answer.status === 200 || kindOf(answer) === 'orderNotReady', answer.text);
    const state = async () => (await post(orderUrl)).json.status;
    await waitUntil('the order to end', async () => /^(in)?valid$/.test(await state()));
    const jobs = worker.begun.filter(({ data }) => data.order === orderId);
    const end = await state();
    assert.equal(jobs.length, end === 'valid' ? 1 : 0, `${end} by ${jobs.length} jobs`);
    const csr = (await ground.orders.read(orderId))?.order.csr;
    assert.deepEqual(
      jobs.map(({ data }) => data.csr),
      end === 'valid' ? [csr] : [],
    );
    ended.push(end);
  }
  assert.ok(ended.includes('valid'), ended.join(' '));
});
