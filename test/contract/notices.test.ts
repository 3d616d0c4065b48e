import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Job, Queue } from 'bullmq';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import type { NotifyEvent } from '../../shared/notify/message.ts';
import type { NotifyConfig } from '../../shared/notify/notify-section.ts';
import { type Delivery, NOTIFY_QUEUE, openNotices } from '../../shared/queue/notices.ts';
import { quietLog } from '../support/quiet-log.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';

// What is told, and how often, with a real Redis and the jobs that BullMQ made of it.

const { redis, newStore } = await startOwnRedis();

const hook = { type: 'webhook', url: 'https://chat.example/s3cret' } as const;
const ops: NotifyConfig = {
  ...hook,
  name: 'ops',
  kinds: ['renewal-failed', 'expires-soon', 'renewed-not-fetched', 'account-paused'],
};
const paused: NotifyConfig = { ...hook, name: 'paused: only', kinds: ['account-paused'] };

const failed: NotifyEvent = {
  ...{ kind: 'renewal-failed', subject: 'stored/disk/1', names: ['a.example'] },
  detail: 'the CA reached\nno responder',
};
const expiring = (daysLeft: number): NotifyEvent => ({ ...failed, kind: 'expires-soon', daysLeft });

/** One process that tells, with a prefix of its own unless it is handed one. */
async function openTeller(blocks: NotifyConfig[], store = newStore()) {
  const notices = openNotices(
    { current: blocks },
    {
      store,
      clock: turnedClock(1_780_000_000_000),
      log: quietLog,
    },
  );
  const queue = new Queue<Delivery>(NOTIFY_QUEUE, { connection: redis, prefix: store.prefix });
  const deliveries = async (): Promise<Job<Delivery>[]> => {
    const jobs = await queue.getJobs();
    return jobs.sort((a, b) => Number(a.data.message.daysLeft ?? 0) - Number(b.data.message.daysLeft ?? 0));
  };
  return {
    ...{ notices, store, deliveries },
    blocksTold: async () => (await deliveries()).map(({ data }) => data.block).sort(),
    async [Symbol.asyncDispose]() {
      await notices[Symbol.asyncDispose]();
      await queue.close();
    },
  };
}

test('a matter is told once to each block that wants its kind, whatever it is told again', async () => {
  await using teller = await openTeller([ops, paused]);
  for (let attempt = 0; attempt < 3; attempt++) await teller.notices.notify(failed);
  assert.deepEqual(await teller.blocksTold(), ['ops']);
  await teller.notices.notify({ ...failed, kind: 'account-paused' });
  assert.deepEqual(await teller.blocksTold(), ['ops', 'ops', 'paused: only']);
});

test('a message says what, of whom and when, in one line, and holds nothing of the block but its name', async () => {
  await using teller = await openTeller([ops]);
  await teller.notices.notify(failed);
  const [job] = await teller.deliveries();
  const { id, matter, ...said } = job?.data.message ?? assert.fail('no message');
  assert.deepEqual(said, { ...failed, detail: 'the CA reached no responder', at: 1_780_000_000_000 });
  assert.equal(id, `${matter}-0`);
  assert.doesNotMatch(JSON.stringify(job), /s3cret/);
});

test('of several processes that run into the same matter at once, all together tell it once', async () => {
  await using one = await openTeller([ops]);
  await using another = await openTeller([ops], one.store);
  await Promise.all(
    Array.from({ length: 20 }, (_, index) => (index % 2 ? one : another).notices.notify(failed)),
  );
  assert.deepEqual(await one.blocksTold(), ['ops']);
});

test('a matter that has ended is told anew when it comes again, as another matter', async () => {
  await using teller = await openTeller([ops]);
  await teller.notices.notify(failed);
  await teller.notices.ended('stored/disk/2', ['renewal-failed']);
  await teller.notices.ended(failed.subject, ['expires-soon']);
  await teller.notices.notify(failed);
  assert.equal((await teller.deliveries()).length, 1);
  await teller.notices.ended(failed.subject, ['expires-soon', 'renewal-failed']);
  await teller.notices.notify(failed);
  const matters = (await teller.deliveries()).map(({ data }) => data.message.matter);
  assert.equal(new Set(matters).size, 2);
});

test('a certificate that ends is told of with 14, 7, 3 and 1 days left and when it has ended, as one event', async () => {
  await using teller = await openTeller([ops]);
  for (const daysLeft of [20, 14.5, 13, 12, 7, 6.9, 2.5, 2, 1.5, 0.9, 0.5, -0.1, -3]) {
    await teller.notices.notify(expiring(daysLeft));
  }
  const messages = (await teller.deliveries()).map(({ data }) => data.message);
  assert.deepEqual(
    messages.map(({ daysLeft }) => daysLeft),
    [-0.1, 0.9, 2.5, 7, 13],
  );
  assert.equal(new Set(messages.map(({ matter }) => matter)).size, 1);
  assert.equal(new Set(messages.map(({ id }) => id)).size, 5);
});

test('a process that dies between finding a matter and telling it leaves it to the next one', async () => {
  await using teller = await openTeller([ops]);
  const key = `${teller.store.prefix}:told:renewal-failed:${failed.subject}`;
  await redis.set(key, 'of-the-dead 0 begun');
  await teller.notices.notify(failed);
  await teller.notices.notify(failed);
  assert.deepEqual(
    (await teller.deliveries()).map(({ data }) => data.message.id),
    ['of-the-dead-0'],
  );
  assert.equal(await redis.get(key), 'of-the-dead 0 told');
});

test('a matter that nobody wants is not remembered, so that a block that is added later hears of it', async () => {
  await using nobody = await openTeller([paused]);
  await nobody.notices.notify(failed);
  await using somebody = await openTeller([ops], nobody.store);
  await somebody.notices.notify(failed);
  assert.deepEqual(await somebody.blocksTold(), ['ops']);
});

test('a Redis that is away fails nobody who tells', async () => {
  const away = openRedis({ url: 'redis://127.0.0.1:1' }, 'impatient', quietLog);
  const notices = openNotices(
    { current: [ops] },
    {
      store: { redis: away, prefix: '{x}' },
      clock: turnedClock(0),
      log: quietLog,
    },
  );
  await notices.notify(failed);
  await notices.ended(failed.subject, ['renewal-failed']);
  closeRedis(away);
});
