import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { runSignJob } from '../../../services/worker/sign-job.ts';
import { IssuanceError, type IssuanceErrorCode } from '../../../shared/base/errors.ts';
import { StandingLimitError } from '../../../shared/limits/limits.ts';
import { type JobBench, jobData, notOpen, openJobBench } from './job-parts.ts';

const HOUR = 3_600_000;
const run = ({ parts, job, signals }: JobBench) => runSignJob(parts, job, signals);
const kind = (name: string) => `urn:ietf:params:acme:error:${name}`;
const refusal = (code: IssuanceErrorCode, type: string, status = 400) =>
  new IssuanceError(code, 'x', { problem: { type: kind(type), detail: `${type} it is`, status } });
const ordersAt = ({ ca }: { ca: JobBench['ca'] }) => ca.calls.filter(call => call === 'newOrder').length;

/** Two accounts, each at a CA of its own; the client waits for a minute. */
async function openTwo(first = {}, second = {}): Promise<JobBench> {
  const bench = await openJobBench(first, second);
  bench.job.data.patience = 60_000;
  return bench;
}

/** Runs a job over all its waits. */
async function runToEnd(bench: JobBench) {
  for (let runs = 0; runs < 100; runs++) {
    const end = await run(bench);
    if (end.end === 'finished') return end.result;
    bench.clock.turn(Math.max(end.until - bench.clock.now(), 0));
  }
  throw new Error('the job comes to no end');
}

async function issuedBy(bench: JobBench) {
  const result = await runToEnd(bench);
  assert.ok(result.outcome === 'issued', JSON.stringify(result));
  return result;
}

for (const [code, type] of [
  ['denied', 'caa'],
  ['denied', 'rejectedIdentifier'],
  ['denied', 'unsupportedIdentifier'],
  ['badCsr', 'badPublicKey'],
  ['misconfigured', 'userActionRequired'],
  ['misconfigured', 'externalAccountRequired'],
  ['misconfigured', 'unauthorized'],
] as const)
  test(`an account whose CA answers ${type} leaves the order to the next one, and the result says why`, async () => {
    await using bench = await openTwo();
    bench.ca.failNext.set('newOrder', refusal(code, type, 403));
    const result = await issuedBy(bench);
    assert.deepEqual(result.issuedBy, { account: 'second', directory: bench.second.http.directoryUrl });
    assert.deepEqual(
      result.refused?.map(({ account, reason }) => [account, reason.includes(`${type} it is`)]),
      [['account', true]],
    );
  });

test('what is wrong with the CSR or with the names goes to no other CA', async () => {
  for (const [first, code] of [
    [{ faults: { 'a.example': { type: kind('dns'), detail: 'NXDOMAIN' } } }, 'challengeFailed'],
    [{}, 'badCsr'],
  ] as const) {
    await using bench = await openTwo(first);
    if (code === 'badCsr') bench.ca.failNext.set('finalize', refusal('badCsr', 'badCSR'));
    const result = await runToEnd(bench);
    assert.ok(result.outcome === 'failed' && result.error.code === code);
    assert.equal(ordersAt(bench.second), 0);
  }
});

test('challenges that fail by CAA go over, with nothing presented for the first CA any more', async () => {
  await using bench = await openTwo({
    faults: { 'a.example': { type: kind('caa'), detail: 'CAA forbids' } },
  });
  assert.equal((await issuedBy(bench)).issuedBy?.account, 'second');
  assert.deepEqual([bench.ca.presented.size, bench.second.ca.presented.size], [0, 0]);
});

test('a CA that is away is tried again until the breaker is open, and then left', async () => {
  await using bench = await openTwo();
  let failures = 0;
  bench.guard.breaker.failed = async () => ++failures === 3;
  bench.guard.breaker.opened = async () => (failures >= 3 ? { since: 0, reason: 'x' } : undefined);
  bench.ca.newOrder = async () => {
    throw new IssuanceError('unavailable', 'x', { problem: { type: kind('serverInternal'), status: 500 } });
  };
  const result = await issuedBy(bench);
  assert.deepEqual([failures, result.issuedBy?.account, ordersAt(bench.second)], [3, 'second', 1]);
  assert.match(bench.log.text(), /breaker opened/);
});

test('a CA whose breaker is open is not asked, but for a probe that closes it', async () => {
  await using bench = await openTwo();
  let state: 'open' | 'probe' = 'open';
  let answered = 0;
  bench.guard.breaker.admit = async () => state;
  bench.guard.breaker.answered = async () => ++answered === 1;
  assert.equal((await issuedBy(bench)).issuedBy?.account, 'second');
  assert.deepEqual([bench.ca.calls, answered], [[], 0]);

  await using probing = await openTwo();
  state = 'probe';
  probing.guard.breaker.admit = async () => state;
  probing.guard.breaker.answered = async () => ++answered === 1;
  assert.equal((await issuedBy(probing)).issuedBy?.account, 'account');
  assert.match(probing.log.text(), /breaker closed/);
});

test('a limit beyond the patience of the post sends it on; one that ends in time is waited for', async () => {
  await using late = await openTwo();
  const at = (ms: number) =>
    new StandingLimitError('rateLimited', 'too many', { retryAfter: late.clock.now() + ms });
  late.guard.limits.findStanding = () => at(60_001);
  assert.equal((await issuedBy(late)).issuedBy?.account, 'second');

  await using soon = await openTwo();
  const until = soon.clock.now() + 60_000;
  soon.guard.limits.findStanding = () =>
    soon.clock.now() < until ? new StandingLimitError('rateLimited', 'x', { retryAfter: until }) : undefined;
  assert.equal((await issuedBy(soon)).issuedBy?.account, 'account');
  assert.ok(soon.clock.now() >= until);
});

test('a rate limit that a CA answers with for a moment is waited for at that CA', async () => {
  await using bench = await openTwo();
  const problem = { type: kind('rateLimited'), detail: 'slowly', status: 429 };
  bench.ca.failNext.set('newOrder', new IssuanceError('rateLimited', 'x', { problem, retryAfter: 2 }));
  assert.equal((await issuedBy(bench)).issuedBy?.account, 'account');
  assert.equal(ordersAt(bench), 2);
});

test('a renewal that would be late goes to the next account', async () => {
  await using bench = await openTwo();
  const due = bench.clock.now() + 3 * HOUR;
  bench.job.data = { ...bench.job.data, due };
  const standingUntil = (retryAfter: number) => {
    bench.guard.limits.findStanding = () => new StandingLimitError('rateLimited', 'x', { retryAfter });
  };
  standingUntil(due);
  assert.equal((await run(bench)).end, 'later');
  standingUntil(due + 1);
  assert.equal((await issuedBy(bench)).issuedBy?.account, 'second');
});

test('an order that was left is taken up again once all others have refused too', async () => {
  await using bench = await openTwo();
  let open = false;
  bench.guard.breaker.failed = async () => {
    open = true;
    return true;
  };
  bench.guard.breaker.opened = async () => (open ? { since: 0, reason: 'x' } : undefined);
  const away = { type: kind('serverInternal'), status: 500 };
  bench.ca.failNext.set('finalize', new IssuanceError('unavailable', 'x', { problem: away }));
  bench.second.ca.failNext.set('newOrder', refusal('denied', 'caa', 403));
  const presented: number[] = [];
  const { newOrder } = bench.second.ca;
  bench.second.ca.newOrder = async identifiers => {
    presented.push(bench.ca.presented.size);
    return newOrder(identifiers);
  };
  const result = await issuedBy(bench);
  assert.equal(result.issuedBy?.account, 'account');
  assert.deepEqual([ordersAt(bench), ordersAt(bench.second), presented], [1, 1, [0]]);
});

test('a job that every account refuses for good ends with the first reason, and the others beside it', async () => {
  await using bench = await openTwo();
  bench.ca.failNext.set('newOrder', refusal('denied', 'caa', 403));
  bench.second.ca.failNext.set('newOrder', refusal('denied', 'rejectedIdentifier', 403));
  const result = await runToEnd(bench);
  assert.ok(result.outcome === 'failed');
  assert.equal(result.error.code, 'denied');
  assert.match(result.error.detail, /caa it is; account second: .*rejectedIdentifier it is/);
  assert.equal(result.error.problem?.type, kind('caa'));
});

test('an account that is not open is passed over, and waited for where it is the only one', async () => {
  await using bench = await openTwo();
  bench.guard.account = { ...bench.guard.account, ...notOpen };
  assert.equal((await issuedBy(bench)).issuedBy?.account, 'second');

  await using alone = await openJobBench();
  const { account } = alone.guard;
  let tries = 0;
  alone.guard.account = {
    ...{ ...account, ...notOpen },
    get current() {
      return tries++ < 2 ? undefined : account.current;
    },
  };
  assert.equal((await issuedBy(alone)).issuedBy?.account, 'account');
  assert.equal(tries, 3);
});

test('an account that the configuration names and this worker does not know is passed over', async () => {
  await using bench = await openTwo();
  bench.parts.cas.delete('account');
  assert.equal((await issuedBy(bench)).issuedBy?.account, 'second');
});

function offer({ http, guard }: { http: JobBench['http']; guard: JobBench['guard'] }, ...profiles: string[]) {
  http.meta = { profiles: Object.fromEntries(profiles.map(profile => [profile, 'x'])) };
  delete guard.connection.directory;
}
const profilesAt = ({ http }: { http: JobBench['http'] }) =>
  http.requests.filter(({ path }) => path === '/new-order').map(({ payload }) => payload?.profile);

test('a certificate profile that is wanted of an account by name is not left away', async () => {
  await using bench = await openTwo();
  offer(bench, 'other');
  bench.job.data.accounts = [{ account: 'account', certificateProfile: 'short' }, { account: 'second' }];
  assert.equal((await issuedBy(bench)).issuedBy?.account, 'second');
  assert.deepEqual([profilesAt(bench), profilesAt(bench.second)], [[], [undefined]]);
});

test('a plain certificate profile is ordered where it is offered, and left away elsewhere once that CA has refused', async () => {
  const accounts = ['account', 'second'].map(
    account => ({ account, certificateProfile: 'short', profileIfOffered: true }) as const,
  );
  await using bench = await openTwo();
  offer(bench, 'other');
  offer(bench.second, 'short');
  bench.job.data.accounts = accounts;
  assert.equal((await issuedBy(bench)).issuedBy?.account, 'second');
  assert.deepEqual(profilesAt(bench.second), ['short']);

  await using refusing = await openTwo();
  offer(refusing, 'other');
  offer(refusing.second, 'short');
  refusing.job.data.accounts = accounts;
  refusing.second.ca.failNext.set('newOrder', refusal('denied', 'caa', 403));
  assert.equal((await issuedBy(refusing)).issuedBy?.account, 'account');
  assert.deepEqual(profilesAt(refusing), [undefined]);
});

test('a certificate profile that no CA of the block offers is an error', async () => {
  await using bench = await openTwo();
  bench.job.data.accounts = ['account', 'second'].map(account => ({
    account,
    certificateProfile: 'nonesuch',
    profileIfOffered: true,
  }));
  const result = await runToEnd(bench);
  assert.ok(result.outcome === 'failed' && result.error.code === 'misconfigured');
  assert.match(result.error.detail, /does not offer the certificate profile nonesuch/);
});

test('only the CA that issued a certificate is told what is replaced', async () => {
  await using bench = await openTwo();
  for (const { http, guard } of [bench, bench.second]) {
    http.resources.renewalInfo = `${http.url}/renewal-info`;
    delete guard.connection.directory;
  }
  bench.job.data.replaces = { id: 'aki.serial', directory: bench.second.http.directoryUrl };
  bench.ca.failNext.set('newOrder', refusal('denied', 'caa', 403));
  await issuedBy(bench);
  const replaced = [bench, bench.second].map(({ http }) =>
    http.requests.filter(({ path }) => path === '/new-order').map(({ payload }) => payload?.replaces),
  );
  assert.deepEqual(replaced, [[undefined], ['aki.serial']]);
});

test('a job that resumes elsewhere in the middle of a fail-over makes one order at each CA', async () => {
  await using whole = await openTwo();
  whole.ca.failNext.set('finalize', refusal('denied', 'rejectedIdentifier', 403));
  await issuedBy(whole);
  for (let kept = 1; kept <= whole.records.checkpoints.length; kept++) {
    await using bench = await openTwo();
    bench.ca.failNext.set('finalize', refusal('denied', 'rejectedIdentifier', 403));
    const { writeCheckpoint } = bench.records;
    bench.records.writeCheckpoint = async (lock, state) => {
      await writeCheckpoint(lock, state);
      if (bench.records.checkpoints.length === kept) bench.stopping.abort(new Error('stopping'));
    };
    await assert.rejects(run(bench), /stopping/);
    bench.signals.stopping = new AbortController().signal;
    assert.equal((await issuedBy(bench)).issuedBy?.account, 'second', `after checkpoint ${kept}`);
    assert.deepEqual([ordersAt(bench), ordersAt(bench.second)], [1, 1], `after checkpoint ${kept}`);
  }
});

test('leaving an account gives up its place before the limits, and its flight', async () => {
  await using bench = await openTwo();
  const left: unknown[] = [];
  bench.guard.budget.leave = async () => {
    await setImmediate();
    left.push('budget');
  };
  bench.records.leaveFlight = async (_, { account }) => void left.push(account);
  bench.ca.failNext.set('newOrder', refusal('denied', 'caa', 403));
  const { newOrder } = bench.second.ca;
  bench.second.ca.newOrder = async identifiers => {
    assert.deepEqual(left, ['budget', 'account']);
    return newOrder(identifiers);
  };
  await issuedBy(bench);
  assert.equal(jobData.accounts.length, 1);
});

test('a person is notified once of what only a person can end', async () => {
  await using bench = await openTwo();
  bench.guard.limits.park = async () => [{ key: 'name/b.example@ca', detail: 'paused', names: ['a', 'b'] }];
  bench.ca.failNext.set('newOrder', refusal('rateLimited', 'rateLimited', 429));
  await issuedBy(bench);
  assert.deepEqual(bench.events, [
    {
      kind: 'account-paused',
      subject: 'name/b.example@ca',
      names: ['b.example'],
      detail: 'paused (once that is mended: quarry limits clear name/b.example@ca FILE)',
    },
  ]);
});
