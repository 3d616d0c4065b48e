import assert from 'node:assert/strict';
import { after, afterEach, suite, test } from 'node:test';
import { ask } from '../support/ask.ts';
import { makeCsr } from '../support/csr.ts';
import { type RoleProcess, startFleet } from '../support/fleet.ts';
import { waitUntil } from '../support/wait-until.ts';

const fleet = await startFleet({ roles: ['intake', 'responder'] });
after(() => fleet[Symbol.asyncDispose]());
afterEach(async () => {
  await fleet.letGo();
  await Promise.all(fleet.all('worker').map(worker => worker.stop()));
});

const newCsrs = (...names: string[]) => Promise.all(names.map(name => makeCsr({ names: [name] })));
const untilCaAsks = () => waitUntil('the CA to ask for a token', () => fleet.front.waiting > 0, 30_000);
const count = (kind: 'newOrder' | 'finalize' | 'challenge') => fleet.ca.counts()[kind];
const presented = () => fleet.redisClient.keys('{quarry}:http-01:*');
const told = (worker: RoleProcess, text: string) => worker.log().filter(({ msg }) => msg === text);

suite('a worker', () => {
  test('hands its orders over at once on SIGTERM, and the next one finishes them without a second newOrder', async () => {
    const first = await fleet.start('worker');
    const csrs = await newCsrs('term1.example', 'term2.example', 'term3.example');
    const [orders, initiated] = [count('newOrder'), count('challenge')];
    fleet.front.hold();
    const posts = csrs.map(({ csrPem }) => fleet.post(csrPem));
    await waitUntil('all challenges to be initiated', () => count('challenge') === initiated + 3, 30_000);
    await untilCaAsks();

    const asked = performance.now();
    assert.equal(await first.stop('SIGTERM'), 0);
    assert.ok(performance.now() - asked < 3000, `stopped after ${Math.round(performance.now() - asked)} ms`);
    assert.equal(told(first, 'certificate issued').length, 0);
    assert.equal((await presented()).length, 3, 'the CA is looking at it');

    fleet.front.release();
    const second = await fleet.start('worker');
    const answers = await Promise.all(posts);
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200],
    );
    assert.equal(count('newOrder'), orders + 3);
    assert.equal(count('challenge'), initiated + 3, 'no challenge is initiated twice');
    assert.deepEqual(await presented(), [], 'what the first had presented is withdrawn');
    const jobs = (worker: RoleProcess, text: string) => told(worker, text).map(({ job }) => job);
    assert.deepEqual(jobs(second, 'certificate issued').sort(), jobs(first, 'order made').sort());
  });

  test('hands over on SIGTERM while another is there, to which the jobs go by themselves', async () => {
    const workers = [await fleet.start('worker'), await fleet.start('worker')];
    const [csr] = await newCsrs('there.example');
    const orders = count('newOrder');
    fleet.front.hold();
    const post = fleet.post(csr?.csrPem ?? '');
    await untilCaAsks();
    const busy = workers.find(worker => told(worker, 'order made').length > 0);
    assert.equal(await busy?.stop('SIGINT'), 0);
    fleet.front.release();
    const { status, seconds } = await post;
    assert.equal(status, 200);
    assert.ok(seconds < 12, 'nobody had to find out that the worker is gone');
    assert.equal(count('newOrder'), orders + 1);
  });

  test('that is killed leaves its orders, which another finishes in about 15 s without a second newOrder or finalize', async () => {
    const first = await fleet.start('worker');
    const [validating, finalizing] = await newCsrs('kill1.example', 'kill2.example');
    const [orders, finalized] = [count('newOrder'), count('finalize')];
    // Pebble has finalized the one, but the worker does not hear of it; the other is being validated.
    const rule = fleet.ca.rule({ kind: 'finalize', times: 1, do: { hold: 'after' } });
    const posts = [fleet.post(finalizing?.csrPem ?? '')];
    await rule.hit();
    fleet.front.hold();
    posts.push(fleet.post(validating?.csrPem ?? ''));
    await untilCaAsks();
    const second = await fleet.start('worker');

    await first.kill();
    const killed = performance.now();
    fleet.front.release();
    rule.remove();
    const answers = await Promise.all(posts);
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200],
    );
    assert.ok(
      performance.now() - killed < 20_000,
      `${Math.round(performance.now() - killed)} ms after the kill`,
    );
    assert.equal(count('newOrder'), orders + 2);
    assert.equal(count('finalize'), finalized + 2);
    assert.equal(told(second, 'certificate issued').length, 2);
  });

  test('delays an order that the CA wants to be left alone: two orders overlap in one slot', async () => {
    const worker = await fleet.start('worker', { worker: 'concurrency = 1' });
    // As a Pebble with `retryAfter: { order: 3 }` answers.
    const answers: string[] = [];
    fleet.ca.rule({
      kind: 'finalize',
      do: { rewrite: ({ headers }) => ({ headers: { ...headers, 'retry-after': '3' } }) },
    });
    const watch = fleet.ca.rule({ kind: ['finalize', 'certificate'] });
    const csrs = await newCsrs('slot1.example', 'slot2.example');
    const posts = csrs.map(({ csrPem }) => fleet.post(csrPem));
    for (let n = 1; n <= 4; n++) answers.push((await watch.hit(n)).kind);
    const results = await Promise.all(posts);
    for (const { status, seconds } of results) {
      assert.equal(status, 200);
      assert.ok(seconds >= 3, `Retry-After was kept: ${seconds} s`);
    }
    assert.deepEqual(answers, ['finalize', 'finalize', 'certificate', 'certificate']);
    assert.equal(told(worker, 'certificate issued').length, 2);
  });
});

suite('an intake', () => {
  test('sends its waiting clients away at once on SIGTERM, and another intake has their certificates', async () => {
    await fleet.start('worker');
    const leaving = await fleet.start('intake');
    const csrs = await newCsrs('leave1.example', 'leave2.example', 'leave3.example');
    const orders = count('newOrder');
    fleet.front.hold();
    const wishes: Record<string, string>[] = [
      {},
      { Prefer: 'wait=100' },
      { Prefer: 'respond-async, wait=100' },
    ];
    const posts = csrs.map(({ csrPem }, index) =>
      fleet.post(csrPem, { to: leaving, headers: wishes[index] ?? {} }),
    );
    await waitUntil('all orders to be made', () => count('newOrder') === orders + 3, 30_000);
    await untilCaAsks();

    const asked = performance.now();
    const exited = leaving.stop('SIGTERM');
    const answers = await Promise.all(posts);
    assert.ok(
      performance.now() - asked < 1500,
      `sent away after ${Math.round(performance.now() - asked)} ms`,
    );
    for (const { status, headers } of answers) {
      assert.equal(status, 503);
      assert.ok(Number(headers['retry-after']) > 0);
    }
    assert.equal(await exited, 0);
    assert.ok(performance.now() - asked < 5000, 'and ends');
    await assert.rejects(ask(`${leaving.url}/sign`), { code: 'ECONNREFUSED' });

    fleet.front.release();
    const again = await Promise.all(csrs.map(({ csrPem }) => fleet.post(csrPem)));
    assert.deepEqual(
      again.map(({ status }) => status),
      [200, 200, 200],
    );
    assert.equal(count('newOrder'), orders + 3);
  });
});
