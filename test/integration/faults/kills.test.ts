import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Kind, Rule, Side } from '../../support/fault-proxy.ts';
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
import { startRelay } from './relay.ts';

/** An order of its own that is held at a request; its name tells where. */
type Step = { name: string; kind: Kind; side: Side; nth: number };

const kinds = ['newOrder', 'authorization', 'challenge', 'order', 'finalize', 'certificate'] as const;
const stepsOf = (side: Side): Step[] => [
  ...kinds.map(kind => ({ name: `${side}-${kind.toLowerCase()}.example`, kind, side, nth: 1 })),
  { name: `${side}-second-order.example`, kind: 'order', side, nth: 2 },
];

const holdAt = ({ ca }: Fleet, { name, kind, side, nth }: Step): Rule =>
  ca.rule({ kind, when: about(name), nth, do: { hold: side } });

/** The only worker that runs. */
function onlyWorker(fleet: Fleet): RoleProcess {
  const [worker, ...more] = fleet.all('worker');
  assert.ok(worker && more.length === 0);
  return worker;
}

/** Posts for each step and waits until the worker is held at all of them. */
async function holdAll(fleet: Fleet, steps: Step[]) {
  const rules = steps.map(step => holdAt(fleet, step));
  const posts = await postEach(
    fleet,
    steps.map(({ name }) => name),
  );
  const requests = await Promise.all(rules.map(rule => rule.hit()));
  return { posts, requests, letGo: () => rules.forEach(rule => void rule.remove()) };
}

/**
 * What a kill or a freeze may cost: another newOrder where the first one's answer was not recorded, and
 * nothing that the CA has got a second time.
 */
function assertNothingTwice(fleet: Fleet, { name, kind, side }: Step): void {
  const got = (kind: Kind) => reached(sent(fleet.ca, name, kind)).length;
  const unrecorded = kind === 'newOrder' && side === 'after';
  assert.deepEqual(
    { newOrder: got('newOrder'), challenge: got('challenge'), finalize: got('finalize') },
    { newOrder: unrecorded ? 2 : 1, challenge: 1, finalize: 1 },
    name,
  );
}

/** A kill may cost that the authorization, or the certificate, is asked for once more. */
function assertFewMore(fleet: Fleet, { name }: Step): void {
  for (const kind of ['authorization', 'certificate'] as const) {
    const count = reached(sent(fleet.ca, name, kind)).length;
    assert.ok(count <= 2, `${count} requests of kind ${kind} for ${name}`);
  }
}

/**
 * The time after which a dead worker's jobs are another's passes at once, and the next worker sees to it as
 * it starts.
 */
async function passLockTime({ redisClient }: Fleet): Promise<void> {
  const [jobId = ''] = await redisClient.lrange('{quarry}:sign:active', 0, -1);
  await redisClient.sadd('{quarry}:sign:stalled', jobId);
  await redisClient.del(`{quarry}:sign:${jobId}:lock`, '{quarry}:sign:stalled-check');
}

/** All that was kept of the jobs, by key. */
async function keptRecords({ redisClient }: Fleet): Promise<Record<string, string | null>> {
  const keys = [
    ...(await redisClient.keys('{quarry}:checkpoint:*')),
    ...(await redisClient.keys('{quarry}:result:*')),
  ];
  return Object.fromEntries(
    await Promise.all(keys.sort().map(async key => [key, await redisClient.get(key)])),
  );
}

suite('a worker', { concurrency: true }, () => {
  test('that is killed at any step is followed by another, which repeats nothing that the CA has got', async () => {
    await using fleet = await startFleet();
    const first = onlyWorker(fleet);
    const steps = [...stepsOf('before'), ...stepsOf('after')];
    const { posts, requests, letGo } = await holdAll(fleet, steps);
    await first.kill();
    const second = await fleet.start('worker');
    await waitUntil('the proxy to see the connections gone', () =>
      requests.every(one => one.outcome === 'hung up'),
    );
    letGo();
    await assertIssued(fleet, posts);
    for (const step of steps) assertNothingTwice(fleet, step);
    for (const step of steps) assertFewMore(fleet, step);
    await assertIssuedBy(second, steps.length);
    assert.deepEqual(await presented(fleet), [], 'what the dead one had presented is withdrawn');
  });

  test('may be killed hundreds of times over the same job, which then still ends with a certificate', async () => {
    await using fleet = await startFleet();
    const hold = fleet.ca.rule({ kind: 'order', do: { hold: 'before' } });
    const posted = await post(fleet, ['hundreds.example']);
    await hold.hit();
    const [jobId = ''] = await fleet.redisClient.lrange('{quarry}:sign:active', 0, -1);
    const job = `{quarry}:sign:${jobId}`;
    await fleet.redisClient.hset(job, 'stc', 900); // where BullMQ counts the kills
    for (const kill of [1, 2]) {
      await onlyWorker(fleet).kill();
      await passLockTime(fleet);
      await fleet.start('worker');
      await hold.hit(kill + 1);
    }
    assert.equal(await fleet.redisClient.hget(job, 'stc'), '902');
    hold.remove();
    await assertIssued(fleet, [posted]);
    assert.equal(sent(fleet.ca, 'hundreds.example', 'newOrder').length, 1);
    assert.equal(sent(fleet.ca, 'hundreds.example', 'finalize').length, 1);
  });

  test('that is killed between telling the result and telling BullMQ leaves a job that is ended without another request', async () => {
    await using fleet = await startFleet({ roles: ['intake', 'responder'] });
    const warm = await fleet.start('worker'); // else Redis would not know the script that the relay halts at
    await assertIssued(fleet, [await post(fleet, ['warm.example'])]);
    assert.equal(await warm.stop(), 0);
    await using relay = await startRelay(Number(new URL(fleet.redis.url).port), '"outcome":"issued"');
    const first = await fleet.start('worker', { redisUrl: `redis://127.0.0.1:${relay.port}` });
    const posted = await post(fleet, ['told.example']);
    await relay.halted;
    await assertIssued(fleet, [posted]);
    const jobs = () => fleet.redisClient.keys('{quarry}:sign:????????-*');
    assert.ok((await jobs()).length > 0, 'BullMQ still has the job');
    const requests = sent(fleet.ca, 'told.example').length;
    await first.kill();
    const second = await fleet.start('worker');
    await waitUntil('the job to be ended', async () => (await jobs()).length === 0);
    assert.equal(sent(fleet.ca, 'told.example').length, requests);
    assert.equal(told(second, 'certificate issued').length, 0);
    assert.deepEqual(await fleet.redisClient.keys('{quarry}:flight:*'), [], 'the names are free');
    const again = { ...posted, answer: fleet.post(posted.csrPem) };
    await assertIssued(fleet, [again]);
  });

  test('that is frozen for longer than its lock lasts overwrites nothing, finalizes nothing again, and goes on', async () => {
    await using fleet = await startFleet();
    const frozen = onlyWorker(fleet);
    const steps = stepsOf('after');
    const { posts, requests, letGo } = await holdAll(fleet, steps);
    process.kill(frozen.pid, 'SIGSTOP'); // before it gives its requests up
    const successor = await fleet.start('worker');
    await assertIssued(fleet, posts);
    await assertIssuedBy(successor, steps.length);
    const kept = await keptRecords(fleet);
    assert.equal(Object.keys(kept).length, 2 * steps.length, 'a checkpoint and a result each');

    letGo(); // the answers are there when it wakes
    await waitUntil('the answers to be sent', () => requests.every(one => one.outcome === 'answered'));
    process.kill(frozen.pid, 'SIGCONT');
    await untilIdle(frozen);
    assert.deepEqual(await keptRecords(fleet), kept);
    for (const step of steps) {
      assertNothingTwice(fleet, step);
      assert.equal(sent(fleet.ca, step.name, 'finalize').length, 1, `finalize for ${step.name}`);
    }
    assert.equal(told(frozen, 'certificate issued').length, 0);
    assert.deepEqual(told(frozen, 'sign job failed'), [], 'it fails no job of its successor');

    assert.equal(await successor.stop(), 0);
    await assertIssued(fleet, await postEach(fleet, ['later1.example', 'later2.example']));
    await assertIssuedBy(frozen, 2);
  });
});

suite('an intake', () => {
  test('that is killed costs its clients their connections alone: another has the certificate of the same order', async () => {
    await using fleet = await startFleet();
    const [first] = fleet.all('intake');
    const second = await fleet.start('intake');
    const hold = fleet.ca.rule({ kind: 'authorization', do: { hold: 'before' } });
    const posted = await post(fleet, ['left.example'], { to: first });
    await hold.hit();
    const cut = assert.rejects(posted.answer);
    await first?.kill();
    await cut;
    const again = { ...posted, answer: fleet.post(posted.csrPem, { to: second }) };
    hold.remove();
    await assertIssued(fleet, [again]);
    assert.equal(sent(fleet.ca, 'left.example', 'newOrder').length, 1);
  });
});
