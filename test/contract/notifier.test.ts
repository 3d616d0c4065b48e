import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { Queue } from 'bullmq';
import { Registry } from 'prom-client';
import { consumeNotices } from '../../services/scheduler/consume-notices.ts';
import { systemClock } from '../../shared/base/basics.ts';
import type { NotifyEvent } from '../../shared/notify/message.ts';
import type { NotifyConfig } from '../../shared/notify/notify-section.ts';
import { type Delivery, NOTIFY_QUEUE, openNotices } from '../../shared/queue/notices.ts';
import { startHookReceiver } from '../support/hook-receiver.ts';
import { keptLog } from '../support/kept-log.ts';
import { quietLog } from '../support/quiet-log.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startOwnRedis } from './own-redis.ts';

// Messages on their way from a real Redis to a real receiver.

const { url: redisUrl, newStore } = await startOwnRedis();

const failed = (subject = 'stored/disk/1'): NotifyEvent => ({
  ...{ kind: 'renewal-failed', subject, names: ['a.example'] },
  detail: 'no responder could be reached',
});

/** A receiver, a webhook that leads to it, and all that tells and is told through one prefix. */
async function openGround() {
  await using stack = new AsyncDisposableStack();
  const receiver = stack.use(await startHookReceiver());
  const store = newStore();
  const { redis, prefix } = store;
  const url = `${receiver.url}/t0ken`;
  const block: NotifyConfig = { name: 'ops', kinds: ['renewal-failed'], type: 'webhook', url };
  const notices = stack.use(openNotices({ current: [block] }, { store, clock: systemClock, log: quietLog }));
  const queue = new Queue<Delivery>(NOTIFY_QUEUE, { connection: redis, prefix });
  stack.defer(() => queue.close());
  const log = keptLog();
  const metrics = new Registry();
  const parts = { redisAddress: { url: redisUrl }, prefix, clock: systemClock, log: log.log };
  const running = stack.move();
  return {
    ...{ receiver, prefix, url, notices, queue, log, metrics },
    block,
    startNotifier: (
      registry = new Registry(),
      blocks: { current: NotifyConfig[] } = { current: [block] },
      clock = systemClock,
    ) => consumeNotices(blocks, { ...parts, clock, metrics: registry }),
    counts: () => queue.getJobCounts('completed', 'failed', 'delayed', 'waiting', 'active'),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

test('a receiver that fails at first gets the same message again later, and then no more', async () => {
  await using ground = await openGround();
  ground.receiver.answers.push(503);
  await using _notifier = ground.startNotifier(ground.metrics);
  await ground.notices.notify(failed());
  await waitUntil('the failure', async () => (await ground.counts()).delayed === 1);
  const [job] = await ground.queue.getDelayed();
  const wait = job?.opts.delay ?? job?.delay ?? 0;
  assert.ok(wait >= 10_000 && wait <= 20_000, `tried again after ${wait} ms`);
  await job?.promote();
  await waitUntil('the delivery', async () => (await ground.counts()).completed === 1);
  const messages = ground.receiver.posts.map(({ body }) => JSON.parse(body));
  assert.equal(messages.length, 2);
  assert.deepEqual(messages[0], messages[1]);
  assert.match(await ground.metrics.metrics(), /messages_total\{block="ops",outcome="delivered"\} 1/);
  assert.match(await ground.metrics.metrics(), /messages_total\{block="ops",outcome="failed"\} 1/);
  assert.match(ground.log.text(), /answered 503/);
  assert.doesNotMatch(ground.log.text(), /t0ken/);
});

test('a receiver that is away for long is tried over hours, ever more rarely, and then given up', async () => {
  await using ground = await openGround();
  await using _notifier = ground.startNotifier();
  await ground.notices.notify(failed());
  let waited = 0;
  for (let attempt = 1; attempt <= 13; attempt++) {
    ground.receiver.answers.push(500);
    if (attempt > 1) {
      const [job] = await ground.queue.getDelayed();
      waited += job?.delay ?? 0;
      await job?.promote();
    }
    const { delayed, failed } = { delayed: attempt < 13 ? 1 : 0, failed: attempt < 13 ? 0 : 1 };
    const settled = async () => {
      const counts = await ground.counts();
      return (
        ground.receiver.posts.length === attempt && counts.delayed === delayed && counts.failed === failed
      );
    };
    await waitUntil(`attempt ${attempt}`, settled);
  }
  assert.ok(waited > 8 * 3_600_000 && waited < 24 * 3_600_000, `over ${waited / 3_600_000} hours`);
  assert.match(ground.log.text(), /message not delivered, given up/);
});

test('a receiver that answers 410 is not asked again', async () => {
  await using ground = await openGround();
  ground.receiver.answers.push(410);
  await using _notifier = ground.startNotifier();
  await ground.notices.notify(failed());
  await waitUntil('it to be given up', async () => (await ground.counts()).failed === 1);
  assert.equal(ground.receiver.posts.length, 1);
});

test('of several notifiers, each message is delivered by one', async () => {
  await using ground = await openGround();
  await using _one = ground.startNotifier();
  await using _another = ground.startNotifier();
  const subjects = Array.from({ length: 30 }, (_, index) => `stored/disk/${index}`);
  await Promise.all(subjects.map(subject => ground.notices.notify(failed(subject))));
  await waitUntil('all', async () => (await ground.counts()).completed === 30);
  const told = ground.receiver.posts.map(({ body }) => JSON.parse(body).subject as string);
  assert.deepEqual(told.sort(), subjects.sort());
});

test('a message that a stopping notifier has no time for is delivered by the next one', async () => {
  await using ground = await openGround();
  ground.receiver.answers.push(0);
  {
    await using _notifier = ground.startNotifier();
    await ground.notices.notify(failed());
    await waitUntil('the post', () => ground.receiver.posts.length === 1);
  }
  await using _next = ground.startNotifier();
  await waitUntil('the delivery', async () => (await ground.counts()).completed === 1);
  assert.equal(ground.receiver.posts.length, 2);
});

test('a message that a killed notifier had begun to deliver is delivered by another, under the same id', async () => {
  await using ground = await openGround();
  ground.receiver.answers.push(0);
  const program = join(import.meta.dirname, 'hanging-notifier.ts');
  const killed = spawn(process.execPath, [program, redisUrl, ground.prefix, ground.url], {
    stdio: 'inherit',
  });
  await ground.notices.notify(failed());
  await waitUntil('the post', () => ground.receiver.posts.length === 1);
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  await using _next = ground.startNotifier();
  await waitUntil('the delivery', async () => (await ground.counts()).completed === 1);
  const [first, second] = ground.receiver.posts.map(({ body }) => JSON.parse(body).id);
  assert.equal(first, second);
});

test('a message for a block of which this notifier does not know yet waits until it does', async () => {
  await using ground = await openGround();
  await ground.notices.notify(failed());
  const blocks: { current: NotifyConfig[] } = { current: [] };
  await using _notifier = ground.startNotifier(new Registry(), blocks);
  await waitUntil('its wait', async () => (await ground.counts()).delayed === 1);
  assert.equal(ground.receiver.posts.length, 0);
  blocks.current = [ground.block];
  const [job] = await ground.queue.getDelayed();
  await job?.promote();
  await waitUntil('the delivery', async () => (await ground.counts()).completed === 1);
  assert.equal(ground.receiver.posts.length, 1);
});

test('a message for a block that is configured no more is dropped after an hour', async () => {
  await using ground = await openGround();
  await ground.notices.notify(failed());
  const later = { ...systemClock, now: () => systemClock.now() + 3_600_000 };
  await using _notifier = ground.startNotifier(new Registry(), { current: [] }, later);
  await waitUntil('it to be dropped', async () => (await ground.counts()).completed === 1);
  assert.equal(ground.receiver.posts.length, 0);
});
