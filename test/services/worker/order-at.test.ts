import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { runSignJob } from '../../../services/worker/sign-job.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { openStoring } from '../../../shared/base/storage-faults.ts';
import { newOrderState } from '../../../shared/order/next-step.ts';
import type { OrderState } from '../../../shared/order/order-state.ts';
import type { CaAnswer } from '../../shared/acme/fake-ca.ts';
import { requestsOf } from '../../shared/order/scripted-ca.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { type JobBench, notOpen, openJobBench } from './job-parts.ts';

// What becomes of an order at one account between the runs of a job.

const run = ({ parts, job, signals }: JobBench) => runSignJob(parts, job, signals);

async function issuedBy(bench: JobBench): Promise<string | undefined> {
  for (let runs = 0; runs < 100; runs++) {
    const end = await run(bench);
    if (end.end === 'finished') {
      assert.ok(end.result.outcome === 'issued', JSON.stringify(end.result));
      return end.result.issuedBy?.account;
    }
    bench.clock.turn(Math.max(end.until - bench.clock.now(), 0));
  }
  throw new Error('the job comes to no end');
}

function savedOrders({ records }: JobBench): Record<string, { order: OrderState } | undefined> {
  return JSON.parse(records.checkpoints.at(-1) ?? '{}').orders;
}

/**
 * Two accounts; the job's first run has ended while the first CA was looking at what was presented.
 * `atSecond` is what was presented for the first CA, and what was saved of its order, when the second one was
 * asked.
 */
async function openInterrupted() {
  const bench = await openJobBench({}, {});
  bench.job.data.patience = 60_000;
  const { sleep } = bench.clock;
  bench.clock.sleep = async (_, signal) => {
    bench.stopping.abort(new Error('the worker is stopping'));
    signal?.throwIfAborted();
  };
  await assert.rejects(run(bench), /the worker is stopping/);
  assert.equal(bench.ca.presented.size, 2);
  bench.clock.sleep = sleep;
  bench.signals.stopping = new AbortController().signal;
  const atSecond: { presented: number; order: OrderState | undefined }[] = [];
  const { newOrder } = bench.second.ca;
  bench.second.ca.newOrder = async identifiers => {
    atSecond.push({ presented: bench.ca.presented.size, order: savedOrders(bench).account?.order });
    return newOrder(identifiers);
  };
  const onlyUrl: OrderState = { ...newOrderState(), url: bench.ca.order.url };
  return Object.assign(bench, { atSecond, onlyUrl, asked: requestsOf(bench.ca).length });
}

test('an order that is left before a run comes to it is withdrawn, and its URL is kept', async () => {
  await using bench = await openInterrupted();
  bench.guard.breaker.admit = async () => 'open';
  assert.equal(await issuedBy(bench), 'second');
  assert.deepEqual(bench.atSecond, [{ presented: 0, order: bench.onlyUrl }]);
  assert.equal(requestsOf(bench.ca).length, bench.asked, 'the first CA is asked nothing for that');
  const saved = bench.records.checkpoints.map(text => JSON.parse(text));
  const left = saved.find(({ refusals }) => refusals.length > 0);
  assert.deepEqual(left?.orders.account.order, bench.onlyUrl, 'withdrawn before the account is left');
  assert.doesNotMatch(bench.log.text(), /remain until they expire/);
});

test('an order that its CA may be finalizing is left with the time of that', async () => {
  await using bench = await openInterrupted();
  const saved = JSON.parse(bench.records.checkpoints.at(-1) ?? '');
  saved.orders.account.order.finalizedAt = 7;
  bench.records.checkpoints.push(JSON.stringify(saved));
  bench.guard.breaker.admit = async () => 'open';
  assert.equal(await issuedBy(bench), 'second');
  assert.deepEqual(bench.atSecond[0]?.order, { ...bench.onlyUrl, finalizedAt: 7 });
});

test('an order that was left so is taken up again where the other account refuses too', async () => {
  await using bench = await openInterrupted();
  let asks = 0;
  bench.guard.breaker.admit = async () => (++asks === 1 ? 'open' : 'closed');
  const problem = { type: 'urn:ietf:params:acme:error:caa', status: 403 };
  bench.second.ca.failNext.set('newOrder', new IssuanceError('denied', 'x', { problem }));
  assert.equal(await issuedBy(bench), 'account');
  assert.equal(bench.ca.calls.filter(call => call === 'newOrder').length, 1);
  assert.equal(bench.ca.presented.size, 0);
});

/** A CA that calls its order ready after finalize, until it has issued at the n-th question. */
function issueLate({ http, ca }: JobBench, issuedAt: number, answer: () => CaAnswer) {
  const sent = { finalize: 0, questions: 0 };
  http.on('/finalize/1', () => {
    sent.finalize++;
    return answer();
  });
  const { getOrder } = ca;
  ca.getOrder = async url => {
    if (sent.finalize > 0 && ++sent.questions === issuedAt)
      Object.assign(ca.order, { status: 'valid', certificate: `${http.url}/cert/1` });
    return getOrder(url);
  };
  return sent;
}

test('an order that was left so while its CA may have been issuing is not finalized again', async () => {
  await using bench = await openJobBench({}, {});
  bench.job.data.patience = bench.clock.now() + 600_000;
  const sent = issueLate(bench, 3, () => {
    bench.clock.turn(30_000);
    return { status: 504, body: 'Gateway Time-out' };
  });
  let left = 0;
  bench.guard.breaker.admit = async () => (sent.finalize > 0 && ++left === 1 ? 'open' : 'closed');
  const problem = { type: 'urn:ietf:params:acme:error:caa', status: 403 };
  bench.second.ca.failNext.set('newOrder', new IssuanceError('denied', 'x', { problem }));
  assert.equal(await issuedBy(bench), 'account');
  assert.deepEqual([left > 1, sent], [true, { finalize: 1, questions: 3 }]);
});

test('an order whose finalize was answered with nothing is not finalized again where its CA is away after that', async () => {
  await using bench = await openJobBench();
  const sent = issueLate(bench, 4, () => {
    bench.ca.failNext.set(
      'getOrder',
      new IssuanceError('unavailable', 'x', { problem: { type: '', status: 503 } }),
    );
    return { body: '' };
  });
  assert.equal(await issuedBy(bench), 'account');
  assert.deepEqual(sent, { finalize: 1, questions: 4 });
});

test('an order at an account that is not open is left with its URL alone, and the log says what remains', async () => {
  await using bench = await openInterrupted();
  bench.guard.account = { ...bench.guard.account, ...notOpen };
  assert.equal(await issuedBy(bench), 'second');
  assert.deepEqual(
    bench.atSecond.map(({ order }) => order),
    [bench.onlyUrl],
  );
  const [warning] = bench.log.lines.filter(({ msg }) => /remain until they expire/.test(`${msg}`));
  assert.deepEqual([warning?.reason, warning?.order], ['the account is not open yet', bench.onlyUrl.url]);
});

test('an order is left also where its challenges cannot be withdrawn', async () => {
  await using bench = await openInterrupted();
  bench.guard.breaker.admit = async () => 'open';
  bench.ca.failNext.set('withdraw', new IssuanceError('unavailable', 'Redis cannot be reached'));
  assert.equal(await issuedBy(bench), 'second');
  assert.deepEqual(bench.atSecond[0]?.order, bench.onlyUrl);
  assert.match(bench.log.text(), /Redis cannot be reached.*challenge responses remain until they expire/);
});

test('an account that is passed over from the start has no order, and nothing to withdraw', async () => {
  await using bench = await openJobBench({}, {});
  bench.guard.breaker.admit = async () => 'open';
  assert.equal(await issuedBy(bench), 'second');
  assert.deepEqual(Object.keys(savedOrders(bench)), ['second']);
  assert.doesNotMatch(bench.log.text(), /remain until they expire/);
});

test('a CA has a sixth of what is left of the patience for an answer while another can be gone to', async () => {
  for (const [data, first, second] of [
    [{ patience: 60_000 }, 10_000, 30_000],
    [{ patience: 6_000 }, 3_000, 30_000],
    [{ patience: 600_000 }, 30_000, 30_000],
    [{ patience: 60_000, due: 2_000_000 }, 30_000, 30_000],
  ] as const) {
    await using bench = await openJobBench({}, {});
    const timeouts: unknown[] = [];
    for (const { guard, http } of [bench, bench.second]) {
      http.meta = { profiles: { short: 'x' } };
      delete guard.connection.directory;
      const { directory } = guard;
      guard.directory = (signal, timeout) => {
        timeouts.push(timeout);
        return directory(signal);
      };
    }
    const accounts = ['account', 'second'].map(account => ({ account, certificateProfile: 'short' }));
    bench.job.data = { ...bench.job.data, ...data, accounts };
    const problem = { type: 'urn:ietf:params:acme:error:caa', status: 403 };
    bench.ca.failNext.set('newOrder', new IssuanceError('denied', 'x', { problem }));
    assert.equal(await issuedBy(bench), 'second');
    assert.deepEqual(timeouts, [first, second]);
  }
});

test('a CA whose directory cannot be had is left, and counted for its breaker', async () => {
  await using bench = await openJobBench({}, {});
  const acts: string[] = [];
  bench.guard.breaker.failed = async reason => {
    await setImmediate();
    return acts.push(reason) > 1;
  };
  const { writeCheckpoint } = bench.records;
  bench.records.writeCheckpoint = async (lock, state) => {
    if (acts.length < 2) acts.push('left');
    return writeCheckpoint(lock, state);
  };
  bench.guard.directory = async () => {
    throw new IssuanceError('unavailable', 'the CA is away');
  };
  bench.job.data.accounts = [{ account: 'account', certificateProfile: 'short' }, { account: 'second' }];
  assert.equal(await issuedBy(bench), 'second');
  assert.deepEqual(acts, ['the CA is away', 'left']);
  const [refusal] = JSON.parse(bench.records.checkpoints.at(-1) ?? '{}').refusals;
  assert.equal(refusal.until, bench.job.createdAt + 5_000);
});

/** As a storage says it whose files cannot be read. */
const { faults } = openStoring({ clock: turnedClock(0), log: quietLog });
const unread = faults.failed('kept', 'read', '', new Error('EIO'));

test('an order waits for a storage that cannot be read while its client waits, and lets others order meanwhile', async () => {
  await using bench = await openJobBench();
  const { storage, records, clock, job } = bench;
  job.data.patience = 60_000;
  let readable = false;
  storage.get = async () => {
    if (readable) return undefined;
    throw unread;
  };
  const left: string[] = [];
  records.leaveFlight = async (_, { account }) => void left.push(account);
  assert.deepEqual(await run(bench), {
    end: 'later',
    until: clock.now() + 2_000,
    hasOrder: false,
    why: { for: 'storage' },
  });
  assert.deepEqual([left, bench.ca.calls], [['account'], []]);
  readable = true;
  assert.equal(await issuedBy(bench), 'account');
});

test('a renewal waits for a storage that cannot be read without looking all the time', async () => {
  await using bench = await openJobBench();
  const { storage, clock, job } = bench;
  job.data.due = clock.now() + 30 * 86_400_000;
  storage.get = () => Promise.reject(unread);
  assert.deepEqual(await run(bench), {
    end: 'later',
    until: clock.now() + 600_000,
    hasOrder: false,
    why: { for: 'storage' },
  });
});

test('a storage that cannot be read fails a job that nobody waits for, and says nothing of the CA', async () => {
  await using bench = await openJobBench({}, {});
  const failures: string[] = [];
  for (const { guard } of [bench, bench.second])
    guard.breaker.failed = async reason => failures.push(reason) > 0;
  bench.storage.get = () => Promise.reject(unread);
  const end = await run(bench);
  assert.ok(end.end === 'finished' && end.result.outcome === 'failed');
  assert.deepEqual(
    [end.result.error.code, end.result.error.detail],
    ['unavailable', 'what is stored cannot be read'],
  );
  assert.deepEqual([failures, bench.ca.calls, bench.second.ca.calls], [[], [], []]);
});

test('that an order is finalized is told where somebody listens, and to nobody else', async () => {
  for (const heard of [false, true]) {
    await using bench = await openJobBench();
    bench.records.heard = heard;
    assert.equal(await issuedBy(bench), 'account');
    const { url } = savedOrders(bench).account?.order ?? {};
    assert.ok(url);
    assert.deepEqual(bench.records.finalizing, heard ? [url] : []);
  }
});
