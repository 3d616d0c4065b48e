import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseEntry } from '../../shared/trail/event.ts';
import { ask } from '../support/ask.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { csrFor, startTarpitGround, type TarpitGround, workerSlots } from '../support/tarpit.ts';
import { waitUntil } from '../support/wait-until.ts';
import { assertIssued, post, sent } from './faults/orders.ts';

// One auth block posts many CSRs whose names lead to a tarpit, another one posts one.

const slots = 4;
/** More than the worker is through with when the other block has its certificate. */
const some = 150;

/** @returns how many orders of the noisy block were made while the other one waited for its certificate */
async function ordersMeanwhile({ fleet, noisyOrders }: TarpitGround): Promise<number> {
  const before = noisyOrders();
  const { status, body } = await fleet.post(await csrFor('one.quiet.shared.example'));
  assert.equal(status, 200, body);
  return noisyOrders() - before;
}

suite('a block that posts many CSRs whose names lead to a tarpit', () => {
  test('with slots, keeps another one waiting for none of its 500 orders', async t => {
    await using ground = await startTarpitGround({ noisy: `slots = ${slots}` });
    await ground.makeNoise(500, slots);
    const meanwhile = await ordersMeanwhile(ground);
    t.diagnostic(`${meanwhile} orders of the noisy block were made meanwhile`);
    assert.ok(meanwhile <= slots, `${meanwhile}`);
    assert.ok((await ground.parked()) > 250);
    assert.ok((await ground.fleet.redisClient.scard('{quarry}:slots:noisy')) <= slots);
  });

  test('without slots, keeps it waiting for about an order in each slot of the worker', async t => {
    await using ground = await startTarpitGround({});
    await ground.makeNoise(some, workerSlots);
    const meanwhile = await ordersMeanwhile(ground);
    t.diagnostic(`${meanwhile} orders of the noisy block were made meanwhile`);
    assert.ok(meanwhile <= 4 * workerSlots, `${meanwhile}`);
    assert.ok(ground.noisyOrders() < some, 'the noisy block is through already');
  });

  test('of one registered domain, in which it has a share, leaves the other one its own', async () => {
    await using ground = await startTarpitGround({
      noisy: `slots = ${slots}\nshare = 50%`,
      quiet: 'share = 50%',
      sections: '[limits]\norders = 100000/3h\ncertificates-per-domain = 8/7d\n',
    });
    await ground.makeNoise(some, slots);
    const meanwhile = await ordersMeanwhile(ground);
    assert.ok(meanwhile <= slots, `${meanwhile}`);
  });
});

test('posts beyond queue-max and rate are 429, with the time to come again', async () => {
  const auth = (name: string, option: string) =>
    `[auth "${name}"]\nall = yes\ndomain = *.${name}.example\nverification = looked\n${option}\n`;
  await using ground = await startTarpitGround({
    sections: auth('bounded', 'queue-max = 2') + auth('rated', 'rate = 2/h'),
  });
  const { fleet } = ground;
  const names = [1, 2, 3].map(n => `host${n}.bounded.example`);
  const answers = await Promise.all(names.map(ground.postMisled));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [202, 202, 429]);
  const refused = answers.find(({ status }) => status === 429);
  assert.equal(refused?.body, 'too many orders are under way already: post again later\n');
  assert.ok(Number(refused?.headers['retry-after']) >= 5);
  const refusalIsTold = async (block: string, detail: string | undefined) => {
    const entries = await fleet.redisClient.xrange('{quarry}:trail', '-', '+');
    const events = entries.flatMap(([id, fields]) => parseEntry(id, fields).map(({ event }) => event));
    const refusals = events.filter(one => one?.event === 'refused');
    return refusals.some(one => one?.block === block && one.by === 'all' && `${one.detail}\n` === detail);
  };
  await waitUntil('its event', () => refusalIsTold('bounded', refused?.body));

  const csr = await csrFor('host.rated.example');
  const from = '127.0.0.9'; // whom no block has counted yet
  const { body } = await fleet.post(csr, { from });
  assert.equal((await fleet.post(csr, { from })).status, 200);
  const beyond = await fleet.post(csr, { from });
  assert.equal(beyond.status, 429);
  assert.equal(beyond.body, 'too many requests of this client: post again later\n');
  assert.ok(Number(beyond.headers['retry-after']) > 60);
  await waitUntil('its event', () => refusalIsTold('rated', beyond.body));

  const another = '127.0.0.10';
  const intake = fleet.all('intake')[0]?.url;
  const later = await fleet.post(await csrFor('late.rated.example'), {
    from: another,
    headers: { Prefer: 'respond-async' },
  });
  assert.equal(later.status, 202);
  const fetched = () => ask(`${intake}${later.headers.location}`, { from: another });
  assert.notEqual((await fetched()).status, 429);
  assert.equal((await fetched()).status, 429);
  const revoked = await ask(`${intake}/revoke`, { method: 'POST', body, from: another });
  assert.equal(revoked.status, 429, revoked.body);
});

test('a slot outlives the worker that is killed: its order goes on, and the next one after it', async () => {
  const blocks = '[auth "all"]\nall = yes\ndomain = *\nslots = 1\n';
  await using fleet = await startFleet({ roles: ['intake', 'responder'], blocks });
  const worker = await fleet.start('worker');
  fleet.front.hold();
  const first = await post(fleet, ['first.example']);
  await waitUntil('its challenge', () => fleet.front.waiting > 0);
  const second = await post(fleet, ['second.example']);
  const parked = () => fleet.redisClient.zcard('{quarry}:parked:all');
  await waitUntil('the other one to be parked', async () => (await parked()) === 1);
  await worker.kill();
  await fleet.start('worker');
  assert.equal((await holders(fleet)).length, 1);
  fleet.front.release();
  await assertIssued(fleet, [first, second]);
  assert.equal(sent(fleet.ca, 'first.example', 'newOrder').length, 1);
  await waitUntil('the slot to be free', async () => (await holders(fleet)).length === 0);
});

const holders = ({ redisClient }: Fleet) => redisClient.smembers('{quarry}:slots:all');
