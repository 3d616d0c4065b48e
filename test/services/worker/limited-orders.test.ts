import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runSignJob } from '../../../services/worker/sign-job.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import type { Claim, Shortage } from '../../../shared/limits/budget.ts';
import { StandingLimitError } from '../../../shared/limits/limits.ts';
import type { SignJobData } from '../../../shared/queue/sign-records.ts';
import { acmeError } from '../../shared/acme/fake-ca.ts';
import { type JobBench, jobData, openJobBench } from './job-parts.ts';

const DAY = 24 * 3_600_000;

const run = ({ parts, job, signals }: JobBench) => runSignJob(parts, job, signals);
const newOrders = ({ http }: JobBench) =>
  http.requests.filter(({ path }) => path === '/new-order').map(({ payload }) => payload?.replaces);

/**
 * A budget that answers each claim with the next of the shortages, then has room, and what was spent of it.
 */
async function openCountedBench(data: Partial<SignJobData>, ...shortages: Shortage[]) {
  const bench = await openJobBench();
  bench.job.data = { ...jobData, ...data };
  const claims: Claim[] = [];
  const acts: string[] = [];
  const left = [...shortages];
  bench.guard.budget = {
    ordersLeft: async () => undefined,
    takeOrder: async (_, claim) => {
      claims.push(claim);
      return left.shift();
    },
    countsCertificates: true,
    spendCertificate: async () => void acts.push('spend certificate'),
    spendFailures: async () => {},
    leave: async () => void acts.push('leave'),
  };
  bench.records.leaveFlight = async () => void acts.push('leave flight');
  return Object.assign(bench, { claims, acts });
}

function offerRenewalInfo({ http, guard }: JobBench): void {
  http.resources.renewalInfo = `${http.url}/renewal-info`;
  delete guard.connection.directory; // else it is read again only after an hour
}

const short = (until: number, waits: boolean): Shortage => ({ key: 'account/default', until, waits });

test('a post waits for its turn while its client does, without a slot, a flight or a word to the CA', async () => {
  await using bench = await openCountedBench({ patience: 60_000 });
  const { job, clock, claims, acts } = bench;
  const turn = clock.now() + 30_000;
  let shortage: Shortage | undefined = short(turn, true);
  const { takeOrder } = bench.guard.budget;
  bench.guard.budget.takeOrder = async (order, claim) => (await takeOrder(order, claim)) ?? shortage;
  assert.deepEqual(await run(bench), {
    ...{ end: 'later', until: turn, hasOrder: false, why: { for: 'limit', until: turn } },
  });
  assert.deepEqual([newOrders(bench), acts], [[], ['leave flight']]);
  assert.deepEqual([claims[0]?.rank, claims[0]?.patience], [job.createdAt, job.createdAt + 60_000]);

  clock.turn(30_000);
  shortage = undefined;
  assert.equal((await run(bench)).end, 'finished');
  assert.deepEqual(acts, ['leave flight', 'spend certificate'], 'which leaves the rest, too');
});

test('a job gives its places up where its certificate could not be counted, or nothing counts it', async () => {
  await using bench = await openCountedBench({});
  bench.guard.budget.spendCertificate = async () => {
    throw new Error('OOM command not allowed');
  };
  assert.equal((await run(bench)).end, 'finished');
  assert.deepEqual(bench.acts, ['leave']);

  await using uncounted = await openCountedBench({});
  uncounted.guard.budget.countsCertificates = false;
  assert.equal((await run(uncounted)).end, 'finished');
  assert.deepEqual(uncounted.acts, ['leave']);
});

test('a post whose turn comes too late for its client is told when that is, and leaves its place', async () => {
  await using bench = await openCountedBench({ patience: 60_000 }, short(2_000_000_000_000, false));
  const end = await run(bench);
  assert.ok(end.end === 'finished' && end.result.outcome === 'failed');
  const { code, detail, retryAfter } = end.result.error;
  assert.deepEqual([code, retryAfter, newOrders(bench)], ['rateLimited', 2_000_000_000_000, []]);
  assert.equal(detail, "the CA's limit for account/default is used up; it was not asked");
  assert.ok(bench.acts.includes('leave'));
});

test('a renewal waits for days, as long as its certificate lasts, and then still has the time of any order', async () => {
  const bench = await openCountedBench({});
  await using _ = bench;
  const { clock, claims, job } = bench;
  const due = clock.now() + 3 * DAY;
  job.data = { ...jobData, due };
  let waiting = true;
  const { takeOrder } = bench.guard.budget;
  bench.guard.budget.takeOrder = async (order, claim) =>
    (await takeOrder(order, claim)) ?? (waiting ? short(due - DAY, true) : undefined);
  let end = await run(bench);
  for (let naps = 0; naps < 200; naps++) {
    assert.ok(end.end === 'later' && end.until <= clock.now() + 600_000, 'it looks now and then');
    clock.turn(600_000);
    end = await run(bench);
  }
  assert.ok(claims.every(({ rank, patience }) => rank === due && patience === due));
  waiting = false;
  bench.ca.failNext.set(
    'newOrder',
    new IssuanceError('unavailable', 'x', { problem: { type: '', status: 500 } }),
  );
  end = await run(bench);
  assert.ok(end.end === 'later', 'no slot is held while the CA fails');
  clock.turn(end.until - clock.now());
  end = await run(bench);
  assert.ok(end.end === 'finished' && end.result.outcome === 'issued');
});

test('a renewal waits also for a limit that the CA spoke of, if that ends before its certificate does', async () => {
  await using bench = await openCountedBench({});
  const { clock, job } = bench;
  const [soon, never] = [clock.now() + 60_000, clock.now() + 9 * DAY];
  const standingUntil = (retryAfter?: number) => {
    bench.guard.limits.findStanding = () => new StandingLimitError('rateLimited', 'too many', { retryAfter });
  };
  job.data = { ...jobData, due: clock.now() + DAY };
  standingUntil(soon);
  assert.deepEqual(await run(bench), {
    ...{ end: 'later', until: soon, hasOrder: false, why: { for: 'limit', until: soon } },
  });
  for (const until of [never, undefined]) {
    standingUntil(until);
    bench.records.results.length = 0;
    const end = await run(bench);
    assert.ok(end.end === 'finished' && end.result.outcome === 'failed');
    assert.deepEqual([end.result.error.code, end.result.error.retryAfter], ['rateLimited', until]);
  }
  assert.deepEqual(newOrders(bench), []);
});

test('an order is taken out of the budget once for all tries to make it, and again when the CA has lost it', async () => {
  await using bench = await openCountedBench({});
  const away = { type: acmeError('serverInternal'), status: 500 };
  const { newOrder } = bench.ca;
  const claimed: number[] = [];
  bench.ca.newOrder = async identifiers => {
    claimed.push(bench.claims.length);
    if (claimed.length <= 3) throw new IssuanceError('unavailable', 'x', { problem: away });
    const made = await newOrder(identifiers);
    bench.ca.lost = claimed.length === 4;
    return made;
  };
  for (let end = await run(bench); end.end === 'later'; end = await run(bench)) {
    bench.clock.turn(Math.max(end.until - bench.clock.now(), 0));
  }
  assert.deepEqual(claimed, [1, 1, 1, 1, 2]);
});

test('an order of a block that is slowed down claims so, and not one that renews', async () => {
  const slowed = async (data: Partial<SignJobData>) => {
    await using bench = await openCountedBench(data);
    bench.guard.limits.slowKey = block => `slow ${block}`;
    bench.guard.limits.failedOrders = async ({ client }) => (client === '192.0.2.1' ? 7 : 0);
    bench.records.enterFlight = async (_, __, keys) => keys.map(key => (key === 'slow mail' ? '{}' : null));
    assert.equal((await run(bench)).end, 'finished');
    return bench.claims.map(({ slow }) => slow);
  };
  assert.deepEqual(await slowed({}), [{ block: 'mail', failures: 0 }]);
  assert.deepEqual(await slowed({ client: '192.0.2.1' }), [{ block: 'mail', failures: 7 }]);
  assert.deepEqual(await slowed({ block: 'other' }), [undefined]);
  assert.deepEqual(await slowed({ due: Date.now() + DAY }), [undefined]);
  assert.deepEqual(await slowed({ replaces: { id: 'aki.serial' } }), [undefined]);
});

test('a renewal that the CA exempts waits for no budget and spends none', async () => {
  await using bench = await openCountedBench({ replaces: { id: 'aki.serial' }, due: 1 }, short(2, true));
  offerRenewalInfo(bench);
  const end = await run(bench);
  assert.ok(end.end === 'finished' && end.result.outcome === 'issued');
  assert.deepEqual([newOrders(bench), bench.claims, bench.acts], [['aki.serial'], [], []]);
});

test('a renewal at a CA without renewal information is an order like any other', async () => {
  await using bench = await openCountedBench({ replaces: { id: 'aki.serial' } });
  assert.equal((await run(bench)).end, 'finished');
  assert.deepEqual([newOrders(bench), bench.claims.length], [[undefined], 1]);
  assert.ok(bench.acts.includes('spend certificate'));
});

test('a renewal of what is replaced already counts as any order, and is sent once without the word', async () => {
  await using bench = await openCountedBench({ replaces: { id: 'aki.serial' } });
  offerRenewalInfo(bench);
  const problem = { type: acmeError('alreadyReplaced'), detail: 'replaced', status: 409 };
  bench.ca.failNext.set('newOrder', new IssuanceError('unexpected', 'replaced', { problem }));
  const end = await run(bench);
  assert.ok(end.end === 'finished' && end.result.outcome === 'issued');
  assert.deepEqual([newOrders(bench), bench.claims.length], [['aki.serial', undefined], 1]);
  assert.ok(bench.acts.includes('spend certificate'));
});
