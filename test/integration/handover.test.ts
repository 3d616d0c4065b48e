import assert from 'node:assert/strict';
import { after, afterEach, suite, test } from 'node:test';
import { ask } from '../support/ask.ts';
import { makeCsr } from '../support/csr.ts';
import type { ProxiedRequest } from '../support/fault-proxy.ts';
import { type RoleProcess, startFleet } from '../support/fleet.ts';
import { waitUntil } from '../support/wait-until.ts';
import { about, assertIssuedBy, told } from './faults/orders.ts';

const fleet = await startFleet({ roles: ['intake', 'responder'] });
after(() => fleet[Symbol.asyncDispose]());
afterEach(async () => {
  await fleet.letGo();
  await Promise.all(fleet.all('worker').map(worker => worker.stop()));
});

const newCsrs = (...names: string[]) => Promise.all(names.map(name => makeCsr({ names: [name] })));
const count = (kind: 'newOrder' | 'finalize' | 'challenge') => fleet.ca.counts()[kind];
const presented = () => fleet.redisClient.keys('{quarry}:http-01:*');

/** How many jobs were taken from a worker that is gone, once its lock had run out. */
async function takenFromTheGone(): Promise<number> {
  const events = await fleet.redisClient.xrange('{quarry}:sign:events', '-', '+');
  return events.filter(([, fields]) => fields.includes('stalled')).length;
}

/**
 * Milliseconds until the jobs of a worker that is killed now are found: its longest lock, and the next look
 * for such.
 */
async function longestUntilFound(): Promise<number> {
  const locks = await fleet.redisClient.keys('{quarry}:sign:*:lock');
  const lives = await Promise.all(locks.map(lock => fleet.redisClient.pttl(lock)));
  return Math.max(...lives) + (await fleet.redisClient.pttl('{quarry}:sign:stalled-check'));
}

suite('a worker', () => {
  test('hands its orders over on SIGTERM without waiting for the CA, and the next one finishes them without a second newOrder', async () => {
    const first = await fleet.start('worker');
    const csrs = await newCsrs('term1.example', 'term2.example', 'term3.example');
    const [orders, initiated] = [count('newOrder'), count('challenge')];
    const polls = fleet.ca.rule({ kind: 'order', do: { hold: 'before' } });
    const posts = csrs.map(({ csrPem }) => fleet.post(csrPem));
    const held = await Promise.all([1, 2, 3].map(n => polls.hit(n)));

    assert.equal(await first.stop('SIGTERM'), 0);
    await waitUntil('the CA to be left', () => held.every(({ outcome }) => outcome === 'hung up'));
    assert.equal(polls.hits, 3, 'it has asked for nothing more');
    assert.deepEqual(told(first, 'step failed'), [], 'and has not waited for the CA until that was too long');
    assert.equal(told(first, 'certificate issued').length, 0);
    assert.equal((await presented()).length, 3, 'the CA is looking at it');

    polls.remove();
    const second = await fleet.start('worker');
    const answers = await Promise.all(posts);
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200],
    );
    assert.equal(count('newOrder'), orders + 3);
    assert.equal(count('challenge'), initiated + 3, 'no challenge is initiated twice');
    assert.deepEqual(await presented(), [], 'what the first had presented is withdrawn');
    await assertIssuedBy(second, 3);
    const jobs = (worker: RoleProcess, text: string) => told(worker, text).map(({ job }) => job);
    assert.deepEqual(jobs(second, 'certificate issued').sort(), jobs(first, 'order made').sort());
  });

  test('hands over on SIGTERM while another is there, to which the jobs go by themselves', async () => {
    const workers = [await fleet.start('worker'), await fleet.start('worker')];
    const [csr] = await newCsrs('there.example');
    const [orders, taken] = [count('newOrder'), await takenFromTheGone()];
    const pending = fleet.ca.playPending();
    const post = fleet.post(csr?.csrPem ?? '');
    await pending.hit();
    const busy = workers.find(worker => told(worker, 'order made').length > 0);
    assert.equal(await busy?.stop('SIGINT'), 0);
    pending.remove();
    const { status, body } = await post;
    assert.equal(status, 200, body);
    assert.equal(await takenFromTheGone(), taken, 'nobody had to find out that the worker is gone');
    assert.equal(count('newOrder'), orders + 1);
  });

  test('that is killed leaves its orders, which another takes within 15 s and finishes without a second newOrder or finalize', async () => {
    const first = await fleet.start('worker');
    const csrs = await newCsrs('validating.example', 'finalizing.example');
    const [orders, finalized, taken] = [count('newOrder'), count('finalize'), await takenFromTheGone()];
    // The one is being validated; Pebble has finalized the other, but the worker does not hear of it.
    const holds = [
      fleet.ca.rule({ kind: 'order', when: about('validating.example'), do: { hold: 'before' } }),
      fleet.ca.rule({ kind: 'finalize', when: about('finalizing.example'), do: { hold: 'after' } }),
    ];
    const posts = csrs.map(({ csrPem }) => fleet.post(csrPem));
    await Promise.all(holds.map(hold => hold.hit()));

    const longest = await longestUntilFound();
    assert.ok(longest > 0 && longest <= 15_000, `${longest} ms`);
    await first.kill();
    for (const hold of holds) hold.remove();
    const second = await fleet.start('worker');
    const answers = await Promise.all(posts);
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200],
    );
    assert.equal(count('newOrder'), orders + 2);
    assert.equal(count('finalize'), finalized + 2);
    await assertIssuedBy(second, 2);
    assert.equal(await takenFromTheGone(), taken + 2);
  });

  test('delays an order that the CA wants to be left alone: two orders overlap in one slot', async () => {
    const worker = await fleet.start('worker', { worker: 'concurrency = 1' });
    // It wants to be asked again in three seconds, and makes no certificate before it has both orders to make
    // one of.
    const finalized = fleet.ca.rule({ kind: 'finalize' });
    const afterFinalize = ({ path }: ProxiedRequest) =>
      fleet.ca
        .requests()
        .some(one => one.kind === 'finalize' && one.path.endsWith(path.split('/').at(-1) ?? path));
    fleet.ca.rule({
      kind: ['finalize', 'order'],
      do: {
        rewrite({ headers, body }, request) {
          if (request.kind === 'order' && (!afterFinalize(request) || finalized.hits === 2)) return undefined;
          const { certificate: _, ...order } = JSON.parse(body);
          const later = { ...headers, 'retry-after': '3' };
          return { headers: later, body: JSON.stringify({ ...order, status: 'processing' }) };
        },
      },
    });
    const csrs = await newCsrs('slot1.example', 'slot2.example');
    const answers = await Promise.all(csrs.map(({ csrPem }) => fleet.post(csrPem)));
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200],
    );
    await assertIssuedBy(worker, 2);
  });
});

suite('an intake', () => {
  test('sends its waiting clients away on SIGTERM, and ends, and another intake has their certificates', async () => {
    await fleet.start('worker');
    const leaving = await fleet.start('intake');
    const csrs = await newCsrs('leave1.example', 'leave2.example', 'leave3.example');
    const orders = count('newOrder');
    const pending = fleet.ca.playPending();
    const wishes: Record<string, string>[] = [
      {},
      { Prefer: 'wait=100' },
      { Prefer: 'respond-async, wait=100' },
    ];
    const posts = csrs.map(({ csrPem }, index) =>
      fleet.post(csrPem, { to: leaving, headers: wishes[index] ?? {} }),
    );
    await waitUntil('all orders to be made', () => count('newOrder') === orders + 3);
    await pending.hit();

    const exited = leaving.stop('SIGTERM');
    for (const { status, headers, body } of await Promise.all(posts)) {
      assert.equal(status, 503, body);
      assert.match(body, /^the server restarts: /, 'and not that the wait is over');
      assert.ok(Number(headers['retry-after']) > 0);
    }
    assert.equal(await exited, 0, 'it ends while the orders still are under way');
    await assert.rejects(ask(`${leaving.url}/sign`), { code: 'ECONNREFUSED' });

    pending.remove();
    const again = await Promise.all(csrs.map(({ csrPem }) => fleet.post(csrPem)));
    assert.deepEqual(
      again.map(({ status }) => status),
      [200, 200, 200],
    );
    assert.equal(count('newOrder'), orders + 3);
  });
});
