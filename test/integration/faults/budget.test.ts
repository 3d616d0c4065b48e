import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { Queue } from 'bullmq';
import { SIGN_QUEUE } from '../../../shared/queue/sign-records.ts';
import type { ProxiedRequest } from '../../support/fault-proxy.ts';
import { type Fleet, type RoleProcess, startFleet } from '../../support/fleet.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { assertIssued, type Post, post, sent, untilIdle } from './orders.ts';
import { openQueue, renew, replacing } from './renewals.ts';

const parts = new AsyncDisposableStack();
after(() => parts.disposeAsync());
const fleet = parts.use(await startFleet({ roles: ['responder'] }));

const DAY = 24 * 3_600_000;

/** An intake and a worker over the same Redis, with budgets of their own. */
async function startApart(name: string, orders: string, wait = 3_600) {
  const prefix = `{${name}}`;
  const options = { redis: `prefix = ${prefix}`, mgmt: `wait = ${wait}`, worker: 'concurrency = 1' };
  const own = { ...options, blocks: `[limits]\norders = ${orders}\n[auth "all"]\nall = yes\ndomain = *\n` };
  const [to, worker, responder] = await Promise.all([
    fleet.start('intake', own),
    fleet.start('worker', own),
    fleet.start('responder', own),
  ]);
  const { redisClient } = fleet;
  const jobs = parts.adopt(new Queue(SIGN_QUEUE, { connection: redisClient, prefix }), one => one.close());
  const budget = `${prefix}:budget:account/default`;
  return {
    ...{ to, worker, responder, queue: parts.use(await openQueue(fleet, prefix)) },
    /** Until so many wait for their turn, and for nothing else. */
    async untilWaiting(count: number) {
      const places = () => redisClient.zcard(`${prefix}:budget:places/account/default`);
      await waitUntil(
        `${count} jobs to wait`,
        async () => (await places()) === count && (await jobs.getDelayedCount()) === count,
      );
    },
    /** The next order is allowed in so many milliseconds, whatever was ordered; all that wait look again. */
    async allowOrderIn(ms: number) {
      await redisClient.set(budget, Date.now() + ms);
      await jobs.promoteJobs();
    },
  };
}

const newOrders = ({ names }: Post) => sent(fleet.ca, names[0] ?? '', 'newOrder').length;

/** The names in the order in which the CA was asked for them, each once. */
function askedInTurn(posts: Post[]): string[] {
  const names = posts.flatMap(one => one.names);
  const asked = fleet.ca.requests().filter(({ kind }) => kind === 'newOrder');
  return asked.flatMap(({ identifiers = [] }: ProxiedRequest) =>
    identifiers.map(({ value }) => value).filter(name => names.includes(name)),
  );
}

suite('a short budget', { concurrency: true }, () => {
  test('is given first to what has ended, then to posts as they came, then to what ends first, and no slot waits', async () => {
    const { to, worker, queue, untilWaiting, allowOrderIn } = await startApart('turns', '1/600s');
    const first = await post(fleet, ['first.turns.example'], { to });
    await assertIssued(fleet, [first]);
    const waiting: Post[] = [];
    const enqueue = async (one: Promise<Post>) => {
      waiting.push(await one);
      await untilWaiting(waiting.length);
    };
    await enqueue(renew(queue, 'late.turns.example', { due: Date.now() + 9 * DAY }));
    await enqueue(renew(queue, 'soon.turns.example', { due: Date.now() + 3 * DAY }));
    await enqueue(post(fleet, ['one.turns.example'], { to }));
    await enqueue(post(fleet, ['two.turns.example'], { to }));
    await enqueue(renew(queue, 'ended.turns.example', { due: Date.now() - DAY }));
    await untilIdle(worker);

    for (let allowed = 1; allowed <= waiting.length; allowed++) {
      await allowOrderIn(0);
      await waitUntil('an order', () => askedInTurn(waiting).length >= allowed);
      await untilWaiting(waiting.length - allowed);
      assert.equal(askedInTurn(waiting).length, allowed, 'one order for each that is allowed');
    }
    await assertIssued(fleet, waiting);
    const turns = ['ended', 'one', 'two', 'soon', 'late'].map(name => `${name}.turns.example`);
    assert.deepEqual(askedInTurn(waiting), turns);
  });

  test('sends a client away that would wait too long, and gives it its turn when it is back', async () => {
    const { to, untilWaiting, allowOrderIn } = await startApart('away', '1/600s', 900);
    await allowOrderIn(600_000);
    const waits = await post(fleet, ['waits.away.example'], { to });
    await untilWaiting(1);
    const hasty = await fleet.post(waits.csrPem, { to, headers: { Prefer: 'respond-async' } });
    const [, until = ''] = /^waiting for the limit of the CA until (\S+Z): fetch \//.exec(hasty.body) ?? [];
    const allowed = Number(await fleet.redisClient.get('{away}:budget:account/default'));
    assert.equal(until, new Date(allowed).toISOString().replace(/\.\d+Z/, 'Z'), hasty.body);
    const away = await post(fleet, ['away.away.example'], { to });
    const { status, body, headers } = await away.answer;
    assert.deepEqual(
      [status, body],
      [429, "the CA's limit for account/default is used up; it was not asked\n"],
    );
    const retryAfter = Number(headers['retry-after']);
    assert.ok(retryAfter > 900 && retryAfter <= 1_200, `Retry-After counts its place: ${retryAfter}`);
    assert.equal(newOrders(away), 0);

    await allowOrderIn(0);
    await assertIssued(fleet, [waits]);
    const back = { ...away, answer: fleet.post(away.csrPem, { to }) };
    await untilWaiting(1);
    await allowOrderIn(0);
    await assertIssued(fleet, [back]);
  });

  test('is left alone by renewals that the CA exempts', async () => {
    const { to, queue } = await startApart('exempt', '1/1d', 240);
    const first = await post(fleet, ['www.exempt.example'], { to });
    await assertIssued(fleet, [first]);
    const refused = await post(fleet, ['other.exempt.example'], { to });
    assert.equal((await refused.answer).status, 429);
    const replaces = await replacing(first);
    const renewal = await renew(queue, 'www.exempt.example', {
      replaces: { id: replaces },
      due: Date.now() + DAY,
    });
    await assertIssued(fleet, [renewal]);
    const orders = sent(fleet.ca, 'www.exempt.example', 'newOrder').map(one => one.replaces);
    assert.deepEqual(orders, [undefined, replaces]);
  });
});

suite('an order that replaces a certificate', { concurrency: true }, () => {
  /** A certificate for the name, as `replaces` names it. */
  async function firstOf(own: Fleet, name: string) {
    const first = await post(own, [name]);
    await assertIssued(own, [first]);
    return replacing(first);
  }

  const statuses = (own: Fleet, name: string) =>
    sent(own.ca, name, 'newOrder')
      .slice(1)
      .map(one => `${one.replaces === undefined ? 'plain' : 'replacing'} ${one.status ?? 'unanswered'}`);

  test('is sent once without the word where another one has replaced it', async () => {
    await using own = await startFleet();
    await using queue = await openQueue(own);
    const name = 'twice.example';
    const replaces = await firstOf(own, name);
    await assertIssued(own, [await renew(queue, name, { replaces: { id: replaces } })]);
    await assertIssued(own, [await renew(queue, name, { replaces: { id: replaces } })]);
    assert.deepEqual(statuses(own, name), ['replacing 201', 'replacing 409', 'plain 201']);
  });

  test('is kept by its URL over a kill; where that was not recorded yet, the next one goes without the word', async () => {
    await using own = await startFleet();
    await using queue = await openQueue(own);
    const [kept, lost] = ['kept.example', 'lost.example'];
    const [first, second] = [await firstOf(own, kept), await firstOf(own, lost)];
    const holds = [
      own.ca.rule({ kind: 'order', when: request => about(request, kept), do: { hold: 'before' } }),
      own.ca.rule({ kind: 'newOrder', when: request => about(request, lost), do: { hold: 'after' } }),
    ];
    // Let's Encrypt takes an order that is only pending for a replacement; Pebble wants a certificate.
    const problem = { type: 'alreadyReplaced', detail: 'another order has replaced it' };
    const when = (request: ProxiedRequest) => about(request, lost) && request.replaces !== undefined;
    own.ca.rule({ kind: 'newOrder', when, from: 2, do: { answer: { status: 409, problem } } });
    const posts = [
      await renew(queue, kept, { replaces: { id: first } }),
      await renew(queue, lost, { replaces: { id: second } }),
    ];
    await Promise.all(holds.map(hold => hold.hit()));
    const [worker] = own.all('worker') as [RoleProcess];
    await worker.kill(); // before it gives its requests up
    await own.start('worker');
    for (const hold of holds) hold.remove();
    await assertIssued(own, posts);
    assert.deepEqual(statuses(own, kept), ['replacing 201']);
    assert.deepEqual(statuses(own, lost), ['replacing unanswered', 'replacing 409', 'plain 201']);
  });
});

const about = ({ identifiers = [] }: ProxiedRequest, name: string) =>
  identifiers.some(({ value }) => value === name);
