import assert from 'node:assert/strict';
import { after, afterEach, suite, test } from 'node:test';
import { callQuarryWith } from '../../support/call-quarry.ts';
import type { Kind } from '../../support/fault-proxy.ts';
import { startFleet } from '../../support/fleet.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { about, assertIssued, type Post, post, postEach, presented, sent } from '../faults/orders.ts';
import {
  asked,
  assertIssuedBy,
  breakerLines,
  broken,
  limited,
  postUntil,
  readyz,
  refuse,
  untilOpen,
} from './answers.ts';

// A whole CA fails, for a while.

const three = ['a', 'b', 'c'];

suite('a fleet of three workers whose first CA fails', () => {
  let fleet: Awaited<ReturnType<typeof start>>;
  const start = () =>
    startFleet({
      roles: ['intake', 'worker', 'worker', 'worker', 'responder'],
      mgmt: 'wait = 170',
      second: {},
    });
  after(() => fleet?.[Symbol.asyncDispose]());
  afterEach(() => fleet.letGo());

  /** What fails, and what mends it. */
  const faults: [what: string, name: string, fail: () => Promise<() => void | Promise<void>>][] = [
    [
      'refuses connections',
      'away.example',
      async () => {
        await fleet.ca.goDown();
        return () => fleet.ca.comeBack();
      },
    ],
    [
      'accepts them and never answers',
      'hangs.example',
      async () => fleet.ca.rule({ do: { hold: 'before' } }).remove,
    ],
    ['answers serverInternal', 'broken.example', async () => fleet.ca.rule({ do: broken }).remove],
    [
      'has a wrong certificate',
      'stranger.example',
      async () => {
        await fleet.ca.presentWrongCertificate();
        return () => fleet.ca.presentRightCertificate();
      },
    ],
  ];

  test('gets its certificates from there while it is well', async () => {
    fleet = await start();
    await untilOpen(fleet);
    const posts = await postEach(fleet, ['www.well.example']);
    await assertIssuedBy(fleet, 'default', posts);
    assert.equal(asked(fleet, 'www.well.example').second, 0);
  });

  for (const [what, domain, fail] of faults)
    test(`gets them from the second where it ${what}, and from the first again when it is back`, async () => {
      const workers = fleet.all('worker');
      const before = breakerLines(workers, 'default');
      const mend = await fail();
      await assertIssuedBy(
        fleet,
        'second',
        await postEach(
          fleet,
          three.map(host => `${host}.${domain}`),
        ),
      );
      const opened = breakerLines(workers, 'default').opened - before.opened;
      assert.equal(opened, 1, 'one of the three opens the breaker, for all');
      await mend();
      await postUntil(fleet, 'default', `back.${domain}`);
      const after = breakerLines(workers, 'default');
      assert.equal(after.closed - before.closed, 1);
      assert.equal(after.opened - before.opened, 1);
      assert.deepEqual(await presented(fleet), []);
    });

  test('finds out by one probe that it is back, while orders go to the second', async () => {
    const { ca } = fleet;
    const fault = ca.rule({ do: broken });
    await assertIssuedBy(
      fleet,
      'second',
      await postEach(
        fleet,
        three.map(host => `${host}.probe.example`),
      ),
    );
    const probe = ca.rule({ do: { hold: 'before' } });
    fault.remove();
    const earlier: Post[] = [];
    while (probe.hits === 0) {
      earlier.push(await post(fleet, [`earlier${earlier.length}.probe.example`]));
      // It may be the order of this post that is the probe.
      await Promise.race([earlier.at(-1)?.answer, probe.hit(1, 120_000)]);
    }
    await assertIssuedBy(
      fleet,
      'second',
      await postEach(
        fleet,
        three.map(host => `${host}.meanwhile.example`),
      ),
    );
    assert.equal(probe.hits, 1);
    probe.remove();
    await postUntil(fleet, 'default', 'after.probe.example');
    for (const { answer } of earlier) assert.equal((await answer).status, 200);
  });

  test('takes an order up again that it has left, where the second refuses it', async () => {
    const { ca, second } = fleet;
    const name = 'again.example';
    const fault = ca.rule({ kind: ['order', 'challenge', 'finalize'], when: about(name), do: broken });
    const next = second.ca.rule({ kind: 'newOrder', when: about(name), do: { hold: 'before' } });
    refuse(second.ca, name, { type: 'caa' });
    const posted = await post(fleet, [name]);
    await next.hit(1, 60_000);
    assert.ok(sent(ca, name, 'challenge').length > 0, 'it was presented');
    assert.deepEqual(await presented(fleet), [], 'nothing is presented for an order that was left');
    fault.remove();
    next.remove();
    await assertIssuedBy(fleet, 'default', [posted]);
    assert.deepEqual(asked(fleet, name), { default: 1, second: 0 });
    assert.equal(sent(second.ca, name, 'newOrder').length, 1);
    assert.equal(asked(fleet, name, 'finalize').default, 1);
    assert.deepEqual(await presented(fleet), []);
  });

  test('withdraws the challenges of orders, too, that wait for validation as others find the CA away', async () => {
    const { ca, front, redisClient } = fleet;
    front.hold();
    const waiting = await postEach(
      fleet,
      three.map(host => `${host}.validating.example`),
    );
    const delayed = async () => (await redisClient.zcard('{quarry}:sign:delayed')) === three.length;
    await waitUntil('the jobs to wait outside of the workers', delayed, 60_000);
    assert.equal((await presented(fleet)).length, three.length);
    await ca.goDown();
    const others = await postEach(
      fleet,
      three.map(host => `${host}.finding.example`),
    );
    front.release();
    await assertIssuedBy(fleet, 'second', [...waiting, ...others]);
    assert.deepEqual(await presented(fleet), []);
    await ca.comeBack();
    await postUntil(fleet, 'default', 'after.validating.example');
  });

  test('takes it for an answer when the CA refuses the order that is to find out whether it is back', async () => {
    const { ca, second } = fleet;
    const fault = ca.rule({ do: broken });
    await assertIssuedBy(
      fleet,
      'second',
      await postEach(
        fleet,
        three.map(host => `${host}.refusing.example`),
      ),
    );
    const name = 'refused.example';
    refuse(ca, name, { type: 'caa' });
    refuse(second.ca, name, { type: 'caa' });
    const posted = await post(fleet, [name]);
    fault.remove();
    assert.equal((await posted.answer).status, 403);
    const before = breakerLines(fleet.all('worker'), 'default');
    assert.equal(before.closed, before.opened, 'it is closed');
    await assertIssuedBy(fleet, 'default', [await post(fleet, ['www.refusing.example'])]);
  });
});

test('a worker that is killed in the middle of a fail-over leaves one order at each CA', async () => {
  await using fleet = await startFleet({ mgmt: 'wait = 120', second: {} });
  await untilOpen(fleet);
  const [killed] = fleet.all('worker');
  assert.ok(killed);
  const steps: [name: string, kind: Kind][] = [
    ['asking.example', 'newOrder'],
    ['proving.example', 'authorization'],
    ['finalizing.example', 'finalize'],
  ];
  const holds = steps.map(([name, kind]) => {
    refuse(fleet.ca, name, { ...limited(name, 600), kind: 'finalize' });
    return fleet.second.ca.rule({ kind, when: about(name), do: { hold: 'before' } });
  });
  const posts = await postEach(
    fleet,
    steps.map(([name]) => name),
  );
  await Promise.all(holds.map(hold => hold.hit(1, 60_000)));
  await fleet.start('worker');
  await killed.kill();
  for (const hold of holds) hold.remove();
  await assertIssuedBy(fleet, 'second', posts);
  for (const [name] of steps) {
    assert.deepEqual(asked(fleet, name), { default: 1, second: 1 }, name);
    assert.deepEqual(asked(fleet, name, 'finalize'), { default: 0, second: 1 }, name);
  }
  assert.deepEqual(await presented(fleet), []);
});

suite('a worker that starts while its first CA is away', () => {
  const away = /default.*(ECONNREFUSED|cannot be reached)/is;

  test('is ready, as another account works, says so, and takes the first into use when it is back', async () => {
    await using fleet = await startFleet({ roles: ['intake', 'responder'], second: {} });
    await fleet.ca.goDown();
    const worker = await fleet.start('worker');
    const ready = await readyz(worker);
    assert.equal(ready.status, 200);
    assert.match(ready.body, away);
    const told = await callQuarryWith(await fleet.ini(), ['ca', 'main.ini']);
    assert.equal(told.code, 0, told.stderr);
    assert.match(told.stdout, away);
    for (const url of [fleet.ca.directoryUrl, fleet.second.ca.directoryUrl])
      assert.ok(told.stdout.includes(url), told.stdout);
    await assertIssuedBy(fleet, 'second', [await post(fleet, ['first.example'])]);

    await fleet.ca.comeBack();
    await postUntil(fleet, 'default', 'later.example');
    assert.doesNotMatch((await readyz(worker)).body, away);
  });

  test('is not ready while no account works', async () => {
    await using fleet = await startFleet({ roles: ['intake', 'responder'], second: {} });
    await Promise.all([fleet.ca.goDown(), fleet.second.ca.goDown()]);
    const worker = await fleet.start('worker', { ready: 'alive' });
    await waitUntil('the reason', async () => away.test((await readyz(worker)).body));
    assert.equal((await readyz(worker)).status, 503);
    await fleet.second.ca.comeBack();
    const posted = await post(fleet, ['first.example']);
    await assertIssuedBy(fleet, 'second', [posted]);
    assert.equal((await readyz(worker)).status, 200);
  });

  test('lets orders of a block that names the first alone wait for it, and no others', async () => {
    const blocks = `[auth "first"]
all = yes
domain = *.first.example
[auth "both"]
all = yes
domain = *
account = default, second`;
    await using fleet = await startFleet({
      roles: ['intake', 'responder'],
      second: {},
      mgmt: 'default-account = default\nwait = 120',
      blocks,
    });
    await fleet.ca.goDown();
    await fleet.start('worker');
    const waiting = await post(fleet, ['www.first.example']);
    await assertIssuedBy(fleet, 'second', await postEach(fleet, ['www.both.example']));
    await fleet.ca.comeBack();
    await assertIssued(fleet, [waiting]);
    assert.deepEqual(asked(fleet, 'www.first.example'), { default: 1, second: 0 });
  });
});
