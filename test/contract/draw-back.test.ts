import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { openDrawBack } from '../../services/scheduler/draw-back.ts';
import { openNonces } from '../../shared/acme-server/nonces.ts';
import { openOrders } from '../../shared/acme-server/orders.ts';
import { openAdmission } from '../../shared/admission/admit.ts';
import { withRates } from '../../shared/admission/rates.ts';
import { type Clock, systemClock } from '../../shared/base/basics.ts';
import { IssuanceError } from '../../shared/base/errors.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import type { Redis } from '../../shared/base/redis.ts';
import { openBreaker } from '../../shared/ca/breaker.ts';
import { openBudget } from '../../shared/limits/budget.ts';
import { openLimits } from '../../shared/limits/open-limits.ts';
import type { NotifyEvent } from '../../shared/notify/message.ts';
import { openQueue, openWorker } from '../../shared/queue/bullmq.ts';
import { openNotices } from '../../shared/queue/notices.ts';
import { openSchedule } from '../../shared/queue/schedule.ts';
import { isSignJobData, SIGN_QUEUE, type SignJobData } from '../../shared/queue/sign-job.ts';
import { openSignRecords } from '../../shared/queue/sign-records.ts';
import type { ManagedCertificate } from '../../shared/renewal/managed-certificate.ts';
import { openRenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { orderRecord } from '../shared/acme-server/order-record.ts';
import { toRequest } from '../shared/admission/admission-request.ts';
import { keptLog } from '../support/kept-log.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { shiftedTime } from '../support/shifted-time.ts';
import { testSeals } from '../support/test-seals.ts';
import { waitUntil } from '../support/wait-until.ts';
import { signJob } from './sign-parts.ts';

// Redis's clock is 400 days ahead for a while, and all that goes by it. Then it is set right.

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const AHEAD = 400 * day;

const time = await shiftedTime(AHEAD);
const server = await startRedis({ env: time.env });
const connection = () => openRedis({ url: server.url }, 'patient', quietLog);
const redis: Redis = connection();
after(async () => {
  closeRedis(redis);
  await server[Symbol.asyncDispose]();
  await time[Symbol.asyncDispose]();
});

const store = { redis, prefix: '{ahead}' };
let ahead = AHEAD;
/** That of Redis, as roles have it. */
const clock: Clock = { ...systemClock, now: () => systemClock.now() + ahead };
const log = keptLog();
const never = new AbortController().signal;
const names = [{ type: 'dns', value: 'a.example' }] as const;
const scope = { account: 'default', ca: 'ca.example' };
const orderer = { block: 'web', proof: 'http:http-01' };
const flight = { account: 'default', identifiers: [...names] };

const parts = { store, clock, log: log.log };
const limits = openLimits(store, scope, clock);
const orders = { count: 1, period: 3 * hour };
const budget = openBudget(store, scope, { orders } as never, clock);
const breaker = openBreaker(store, 'ca.example');
const records = openSignRecords(store, testSeals);
const index = openRenewalIndex(store);
const admission = withRates(
  openAdmission([
    {
      ...{ name: 'web', ips: [], all: true, domains: ['*'], addresses: [], verifications: ['http'] },
      ...{ challenges: ['http-01'], storage: 'none', accounts: [{ account: 'default' }] },
      bounds: { rate: { count: 1, period: hour } },
    },
  ]),
  store,
  { clock, log: quietLog },
);
const request = toRequest({ clientIp: '192.0.2.1' });
const ask = () => admission.verified(admission.possible(request), request, Buffer.from('body'));
const [clientOrders, nonces] = [openOrders(store, testSeals, clock), openNonces(store, testSeals, clock)];
const orderAsClient = (id: string) => clientOrders.create(orderRecord({ id, created: clock.now() }));
const claim = (id: string) => ({ id, what: id, rank: 1, patience: 0 });
const task = { name: 'daily', rule: 'daily', next: (now: number) => now + day };
const jobs: string[] = [];
let countOrders = 0;

/** Planned to be renewed in thirty days, after the last attempt failed. */
function managed(now: number): ManagedCertificate {
  const life = { notBefore: systemClock.now() - 30 * day, notAfter: systemClock.now() + 60 * day };
  const plan = { at: now + hour, first: life.notAfter - 30 * day, why: '1 attempt failed' };
  return {
    ...{ id: 'stored/kept/a', certificate: 'a.1', named: true, names: ['a.example'], renews: true, ...life },
    ...{ info: { none: 'not asked' }, poll: now + hour, pollFailures: 0, plan, ahead: false, looked: true },
    failures: { count: 1, last: now, reason: 'it was away' },
  };
}

/** Of an account that may order once in two months. */
const takeOfTwoMonths = (account: string) =>
  openBudget(store, { account, ca: scope.ca }, { orders: { count: 1, period: 60 * day } }, clock).takeOrder(
    [...names],
    claim(`of ${account}`),
  );

/** By a lock that no clock concerns. */
async function heldJob(jobId: string) {
  await redis.set(`{ahead}:sign:${jobId}:lock`, 'token');
  return { jobId, token: 'token' };
}

/** Takes one job, and gives it back to wait; or holds it until the process is killed. */
async function takeJob(end: 'waits' | 'is killed'): Promise<void> {
  const queue = openQueue<SignJobData>(SIGN_QUEUE, parts);
  const { id = '' } = await queue.add('sign', signJob());
  jobs.push(id);
  const taken = Promise.withResolvers<void>();
  const worker = openWorker<SignJobData, string>(
    SIGN_QUEUE,
    {
      ...{ concurrency: 1, isData: isSignJobData, patience: 0 },
      async run() {
        taken.resolve();
        if (end === 'waits') return { later: clock.now() + minute };
        return new Promise(() => {});
      },
    },
    { redisAddress: { url: server.url }, prefix: store.prefix, clock, log: quietLog },
  );
  await taken.promise;
  const delayed = async () => (await redis.zscore(`{ahead}:sign:delayed`, id)) !== null;
  if (end === 'waits') await waitUntil('the wait', delayed);
  await worker[Symbol.asyncDispose]();
  await queue.close();
}

suite('what was planned by a clock that was 400 days ahead', () => {
  const schedule = openSchedule({ current: [task] }, parts);
  const notify = { name: 'ops', kinds: ['renewal-failed'], type: 'webhook', url: 'http://127.0.0.1:1' };
  const notices = openNotices({ current: [notify as never] }, parts);
  const event = { kind: 'renewal-failed', subject: 'a', names: [], detail: 'away' } satisfies NotifyEvent;

  before(async () => {
    await takeJob('waits');
    await schedule.plan(clock.now());
    await schedule.enqueueDue(clock.now());
    const retryAfter = clock.now() + hour;
    await limits.park([...names], orderer, new IssuanceError('rateLimited', 'too many', { retryAfter }));
    await budget.takeOrder([...names], claim('first'));
    for (const _ of [1, 2, 3]) await breaker.failed('away');
    await records.enterFlight(await heldJob('lost'), flight, []);
    await index.add(managed(clock.now()), clock.now() + hour);
    await notices.notify(event);
    await ask();
    await nonces.spend(nonces.make(), []);
    while ((await orderAsClient(`order-${countOrders++}`)) === undefined);
    await takeOfTwoMonths('before');
    await redis.set('{ahead}:sign:killed:lock', 'token', 'PX', 8_000);
    await time.set(0);
    ahead = 0;
    await takeOfTwoMonths('since');
  });
  after(() => Promise.all([schedule[Symbol.asyncDispose](), notices[Symbol.asyncDispose]()]));

  test('stands for good', async () => {
    assert.ok(await limits.standingAgainst([...names], orderer));
    assert.equal((await budget.takeOrder([...names], claim('second')))?.waits, false);
    assert.equal(await records.enterFlight(await heldJob('another'), flight, []), undefined);
    assert.ok((await redis.pttl('{ahead}:sign:killed:lock')) > 399 * day);
    assert.ok((await redis.pttl('{ahead}:told:renewal-failed:a')) > 399 * day);
    assert.deepEqual(await index.due(clock.now() + 399 * day, 10), []);
    assert.ok(Number(await orderAsClient('refused')) > clock.now() + 399 * day);
    assert.ok((await redis.pttl(await theOnly('{ahead}:acme:nonce:*'))) > 399 * day);
  });

  test('but a rate and a breaker, which go by the longest wait that they know', async () => {
    const refused = await ask().catch(error => error);
    assert.ok(refused.retryAfter <= clock.now() + hour, `${refused.retryAfter - clock.now()}`);
    assert.equal(await breaker.admit(), 'probe');
  });

  test('is drawn back at the start of a scheduler, which tells how much that was', async () => {
    openDrawBack({ ...parts, schedule, index, longestPeriod: () => 60 * day })(never);
    const said = () => log.lines.find(({ msg }) => `${msg}`.startsWith('drawn back'));
    await waitUntil('it to be told', () => said() !== undefined);
    const { level, tasks, jobs: late, renewals, keys } = said() ?? {};
    assert.deepEqual([level, tasks, late, renewals], [40, 1, 1, 1]);
    assert.ok(Number(keys) >= 6, `${keys}`);

    assert.equal(await limits.standingAgainst([...names], orderer), undefined);
    assert.equal(await budget.takeOrder([...names], claim('third')), undefined);
    const [before, since] = [await takeOfTwoMonths('before'), await takeOfTwoMonths('since')];
    assert.deepEqual([before, since?.waits], [undefined, false], 'what was counted since then stays');
    assert.equal(await breaker.admit(), 'closed');
    assert.ok((await redis.pttl('{ahead}:sign:killed:lock')) <= 10_000);
    assert.ok((await redis.pttl('{ahead}:told:renewal-failed:a')) <= 30 * day);
    const life = await redis.pttl(await theOnly('{ahead}:flight:*'));
    assert.ok(life > 0 && life <= 65 * minute, `${life}`);
    assert.equal(await orderAsClient('taken'), undefined);
    assert.ok((await redis.pttl(await theOnly('{ahead}:acme:nonce:*'))) <= 65 * minute);
    const [due] = await redis.zmscore('{ahead}:schedule-times', 'daily');
    assert.ok(Number(due) <= clock.now() + day, `${due}`);
    assert.deepEqual(await index.due(clock.now() + hour, 10), ['stored/kept/a']);
    const [id = ''] = jobs;
    const made = Number(await redis.hget(`{ahead}:sign:${id}`, 'timestamp'));
    assert.ok(Math.abs(made - clock.now()) < hour, `${made}`);
    assert.ok(Number(await redis.zscore('{ahead}:sign:delayed', id)) / 0x1000 <= clock.now());
  });

  test('is drawn back by a scheduler that runs while the clock goes back, and only then', async () => {
    const before = log.lines.length;
    const look = openDrawBack({ ...parts, schedule, index, longestPeriod: () => 60 * day });
    ahead = AHEAD;
    look(never); // nothing is later than its clock says
    ahead = 0;
    await redis.zadd('{ahead}:schedule-times', clock.now() + AHEAD, 'daily');
    await waitUntil('it to be seen', async () => {
      look(never);
      const [due] = await redis.zmscore('{ahead}:schedule-times', 'daily');
      return Number(due) <= clock.now() + day;
    });
    await waitUntil('it to be told', () => log.lines.length > before);
    await redis.zadd('{ahead}:schedule-times', clock.now() + AHEAD, 'daily');
    look(never);
    assert.equal(await schedule.drawBack(clock.now()), 1, 'the rest is for the next day');
  });
});

async function theOnly(pattern: string): Promise<string> {
  const found = await redis.keys(pattern);
  assert.equal(found.length, 1);
  return found[0] ?? '';
}
