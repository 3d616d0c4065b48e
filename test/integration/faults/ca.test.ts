import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { FaultProxy, Kind, RuleOptions } from '../../support/fault-proxy.ts';
import { type Fleet, type RoleProcess, startFleet } from '../../support/fleet.ts';
import { waitUntil } from '../../support/wait-until.ts';
import {
  about,
  assertIssued,
  assertIssuedBy,
  post,
  postEach,
  presented,
  reached,
  sent,
  told,
  untilIdle,
} from './orders.ts';

/** The jobs that wait outside of any worker. */
const delayed = ({ redisClient }: Fleet) => redisClient.zcard('{quarry}:sign:delayed');

const untilDelayed = (fleet: Fleet, jobs: number) =>
  waitUntil(`${jobs} jobs to wait in delayed`, async () => (await delayed(fleet)) === jobs);

const onlyWorker = (fleet: Fleet): RoleProcess => {
  const [worker] = fleet.all('worker');
  assert.ok(worker);
  return worker;
};

const gotBy = (ca: FaultProxy, name: string, kind: Kind) => reached(sent(ca, name, kind)).length;

/** The order is made, validated or finalized, but the CA says that it is still at it. */
const processing: RuleOptions['do'] = {
  rewrite({ body }) {
    const { certificate: _, ...order } = JSON.parse(body) as Record<string, unknown>;
    return { body: JSON.stringify({ ...order, status: 'processing' }) };
  },
};

const failing: RuleOptions['do'] = {
  answer: { status: 500, problem: { type: 'serverInternal', detail: 'the database is away' } },
};

/** What may befall one order for a while, and how often the CA is to have got what must not be sent twice. */
const faults: [name: string, rule: RuleOptions][] = [
  ['processing.example', { kind: ['finalize', 'order'], do: processing, when: afterFinalize() }],
  ['no-order.example', { kind: 'newOrder', do: failing }],
  ['no-poll.example', { kind: 'order', do: failing }],
  ['no-finalize.example', { kind: 'finalize', do: failing }],
  ['broken-challenge.example', { kind: 'challenge', do: { drop: 'before' } }],
  ['broken-download.example', { kind: 'certificate', do: { cutAfter: 100 } }],
];

/** Polls before finalize shall pass. */
function afterFinalize(): NonNullable<RuleOptions['when']> {
  let finalized = false;
  return request => {
    finalized ||= request.kind === 'finalize';
    return finalized;
  };
}

suite('a CA', { concurrency: true }, () => {
  test('that fails some orders has their jobs wait in delayed, without a slot, while others pass through the only one', async () => {
    await using fleet = await startFleet({ worker: 'concurrency = 1' });
    const worker = onlyWorker(fleet);
    const rules = faults.map(([name, { when, ...rule }]) =>
      fleet.ca.rule({ ...rule, when: request => about(name)(request) && (when?.(request) ?? true) }),
    );
    const stuck = await postEach(
      fleet,
      faults.map(([name]) => name),
    );
    await Promise.all(rules.map(rule => rule.hit(2))); // and each has come again
    await assertIssued(fleet, await postEach(fleet, ['passes1.example', 'passes2.example']));
    await assertIssuedBy(worker, 2, 'the others still wait');
    await untilIdle(worker);
    await untilDelayed(fleet, faults.length);

    for (const rule of rules) rule.remove();
    await assertIssued(fleet, stuck);
    for (const [name] of faults) {
      const [newOrder, finalize] = [gotBy(fleet.ca, name, 'newOrder'), gotBy(fleet.ca, name, 'finalize')];
      assert.deepEqual({ newOrder, finalize }, { newOrder: 1, finalize: 1 }, name);
    }
    assert.equal(await delayed(fleet), 0);
    assert.deepEqual(await presented(fleet), []);
  });

  test('that hangs on a request is given up after 30 seconds, on finalize later, and asked again for nothing that it has done', async () => {
    await using fleet = await startFleet();
    const hung: [name: string, kind: Kind, side: 'before' | 'after'][] = [
      ['hung-order.example', 'newOrder', 'before'],
      ['hung-poll.example', 'order', 'before'],
    ];
    const slow = fleet.ca.rule({
      kind: 'finalize',
      when: about('slow-finalize.example'),
      do: { delay: 40_000 }, // before Pebble has it: what is sent twice is seen
    });
    const slowPost = await post(fleet, ['slow-finalize.example']);
    const rules = hung.map(([name, kind, side]) =>
      fleet.ca.rule({ kind, when: about(name), times: 1, do: { hold: side } }),
    );
    const posts = await postEach(
      fleet,
      hung.map(([name]) => name),
    );
    const held = await Promise.all(rules.map(rule => rule.hit()));
    await assertIssued(fleet, await postEach(fleet, ['passes.example']));
    await assertIssued(fleet, [...posts, slowPost]);
    assert.deepEqual([slow.hits, gotBy(fleet.ca, 'slow-finalize.example', 'finalize')], [1, 1]);
    for (const [index, [name]] of hung.entries()) {
      assert.equal(held[index]?.outcome, 'hung up', name);
      assert.deepEqual([gotBy(fleet.ca, name, 'newOrder'), gotBy(fleet.ca, name, 'finalize')], [1, 1], name);
    }
    assert.equal(
      told(onlyWorker(fleet), 'step failed').filter(({ reason }) => /within 30 seconds/.test(`${reason}`))
        .length,
      2,
    );
  });

  test('that presents a wrong certificate, or is away, is waited for, and then orders go on where they stood', async () => {
    await using fleet = await startFleet();
    const worker = onlyWorker(fleet);
    const names = ['validating1.example', 'validating2.example'];
    const pending = fleet.ca.playPending();
    const posts = await postEach(fleet, names);
    await waitUntil('both orders to be polled', () =>
      names.every(name => sent(fleet.ca, name, 'order').some(({ status }) => status === 200)),
    );
    await fleet.ca.presentWrongCertificate();
    pending.remove();
    const requests = fleet.ca.requests().length;
    posts.push(await post(fleet, ['new.example']));
    const refused = () =>
      told(worker, 'step failed').filter(({ reason }) =>
        /cannot be reached: .*certificate/.test(`${reason}`),
      );
    await waitUntil(
      'all to refuse the certificate',
      () => new Set(refused().map(({ job }) => job)).size === 3,
    );
    await untilDelayed(fleet, 3);
    await untilIdle(worker); // each comes again now and then
    assert.equal(fleet.ca.requests().length, requests, 'nothing was sent to the wrong server');

    await fleet.ca.goDown();
    await waitUntil('a connection to be refused', () =>
      told(worker, 'step failed').some(({ reason }) => /ECONNREFUSED/.test(`${reason}`)),
    );
    await fleet.ca.presentRightCertificate();
    await fleet.ca.comeBack();
    await assertIssued(fleet, posts);
    for (const { names } of posts) assert.equal(gotBy(fleet.ca, names[0] ?? '', 'newOrder'), 1);
  });

  test('that forgets everything is given the account and the orders again, once each', async t => {
    await using fleet = await startFleet();
    const worker = onlyWorker(fleet);
    const { ca } = fleet;
    const steps: [name: string, kind: Kind][] = [
      ['ordering.example', 'newOrder'],
      ['polling1.example', 'order'],
      ['polling2.example', 'order'],
      ['polling3.example', 'order'],
      ['finalizing.example', 'finalize'],
    ];
    const rules = steps.map(([name, kind]) =>
      ca.rule({ kind, when: about(name), times: 1, do: { hold: 'before' } }),
    );
    const posts = await postEach(
      fleet,
      steps.map(([name]) => name),
    );
    await Promise.all(rules.map(rule => rule.hit()));
    await fleet.pebble.restart();
    ca.reset();
    // One after the other, so that each job finds out for itself.
    for (const [index, rule] of rules.entries()) {
      rule.remove();
      await waitUntil('the step to fail', () => told(worker, 'step failed').length > index);
      if (index === 0) await waitUntil('an account', () => told(worker, 'account ready').length === 2);
    }
    await assertIssued(fleet, posts);

    const accounts = ca.requests().filter(({ kind }) => kind === 'newAccount');
    const made = accounts.filter(({ status }) => status === 201);
    t.diagnostic(
      `${accounts.length} newAccounts (${made.length} made one) and ${ca.counts().newOrder} newOrders`,
    );
    assert.equal(made.length, 1);
    assert.equal(accounts.length, 2, 'one looked for the account by its key');
    for (const [name] of steps) {
      // A nonce of the CA as it was before may be refused first.
      const orders = sent(ca, name, 'newOrder').filter(({ status }) => status === 201);
      assert.equal(orders.length, 1, name);
    }
    assert.deepEqual(await presented(fleet), []);
  });

  test('that loses an order again and again is asked for a new one ever more slowly', async () => {
    await using fleet = await startFleet();
    const lost = { status: 404, problem: { type: 'malformed', detail: 'no such order' } };
    // Five questions for each, as one of the CA's replicas might only lag.
    fleet.ca.rule({ kind: 'order', when: about('lost.example'), times: 15, do: { answer: lost } });
    await assertIssued(fleet, [await post(fleet, ['lost.example'])]);
    assert.equal(sent(fleet.ca, 'lost.example', 'newOrder').length, 4);
    const planned = told(onlyWorker(fleet), 'step failed').map(({ again }) => Date.parse(`${again}`));
    assert.equal(planned.length, 3);
    // 1, 2 and 4 s after each failure, by up to a quarter more or less.
    const gaps = planned.slice(1).map((again, index) => again - (planned[index] ?? 0));
    for (const [index, gap] of gaps.entries())
      assert.ok(gap >= 1_500 * 2 ** index, `planned ${gaps} ms apart`);
    assert.deepEqual(await presented(fleet), []);
  });

  test('finds challenge responses while it validates, which end by themselves, and none after success or failure', async () => {
    await using fleet = await startFleet();
    await fleet.misdirect('fails.example');
    const held = fleet.ca.rule({ kind: 'challenge', do: { hold: 'before' } });
    const posts = await postEach(fleet, ['succeeds.example', 'fails.example']);
    await held.hit(2);
    const keys = await presented(fleet);
    assert.equal(keys.length, 2);
    for (const key of keys) {
      const seconds = await fleet.redisClient.ttl(key);
      assert.ok(seconds > 600 && seconds <= 3_600, `${seconds} s to live`);
    }
    held.remove();
    const answers = await Promise.all(posts.map(({ answer }) => answer));
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 421],
    );
    assert.deepEqual(await presented(fleet), []);
  });
});
