import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runSignJob } from '../../../services/worker/sign-job.ts';
import { describeError, IssuanceError, type IssuanceErrorCode } from '../../../shared/base/errors.ts';
import { accountOf, holdAccount } from '../../../shared/ca/account-holder.ts';
import { StandingLimitError } from '../../../shared/limits/limits.ts';
import { readCertificate } from '../../../shared/pki/certificate.ts';
import { readCsr } from '../../../shared/pki/csr.ts';
import type { KeptEntry, Upkeep } from '../../../shared/storage/storage.ts';
import { acmeError, problem } from '../../shared/acme/fake-ca.ts';
import { never } from '../../shared/acme/open-connection.ts';
import { rfc9773Certificate } from '../../shared/pki/rfc9773-certificate.ts';
import { csr, type JobBench, leaf, openJobBench } from './job-parts.ts';

// What a worker makes of a step that failed: of the CA, of the account and of the order.

const HOUR = 3_600_000;
const run = ({ parts, job, signals }: JobBench) => runSignJob(parts, job, signals);
const failure = (code: IssuanceErrorCode, type: string, status = 400) =>
  new IssuanceError(code, 'x', { problem: { type: acmeError(type), detail: `${type} it is`, status } });

async function runToEnd(bench: JobBench) {
  for (let runs = 0; runs < 2_000; runs++) {
    const end = await run(bench);
    if (end.end === 'finished') return end.result;
    bench.clock.turn(Math.max(end.until - bench.clock.now(), 0));
  }
  throw new Error('the job comes to no end');
}

/** What a job ended with where it got no certificate. */
async function failureOf(bench: JobBench) {
  const result = await runToEnd(bench);
  assert.ok(result.outcome === 'failed', JSON.stringify(result));
  return result.error;
}

/**
 * Two accounts, of which the first is held as workers hold it; what is over, and each answer that the breaker
 * is told of.
 */
async function openTwo() {
  const bench = await openJobBench({}, {});
  bench.job.data.patience = 60_000;
  const account = accountOf(bench.guard.account);
  bench.guard.account = holdAccount(bench.guard.connection, async () => account);
  await bench.guard.account.open(never);
  const over: unknown[] = [];
  bench.parts.notices.ended = async (subject, kinds) => void over.push([subject, kinds]);
  const heard = { answers: 0, failures: 0 };
  bench.guard.breaker.answered = async () => ++heard.answers === 1;
  bench.guard.breaker.failed = async () => ++heard.failures < 0;
  return Object.assign(bench, { over, heard });
}

/** The same bench with another job, for which nothing is written yet. */
function nextJob(bench: JobBench): void {
  bench.records.checkpoints.length = 0;
  bench.records.results.length = 0;
  bench.job = { ...bench.job, lock: { ...bench.job.lock, jobId: 'job-2' } };
}

test('an account that its CA refuses is announced once, and that is over with the first success', async () => {
  await using bench = await openTwo();
  bench.ca.failNext.set('newOrder', failure('misconfigured', 'userActionRequired', 403));
  assert.equal((await runToEnd(bench)).outcome, 'issued');
  assert.match(describeError(bench.guard.account.fault), /userActionRequired it is/);
  assert.deepEqual(
    bench.events.map(({ detail, ...event }) => [event, /userActionRequired it is/.test(detail)]),
    [[{ kind: 'account-paused', subject: 'account/account', names: ['a.example', 'b.example'] }, true]],
  );
  assert.deepEqual(bench.over, []);

  nextJob(bench);
  const result = await runToEnd(bench);
  assert.ok(result.outcome === 'issued' && result.issuedBy?.account === 'account');
  assert.equal(bench.guard.account.fault, undefined);
  assert.deepEqual(bench.over, [['account/account', ['account-paused']]]);
  assert.equal(bench.events.length, 1);
});

test("a profile that the CA does not know is the order's, and nothing that is said of the account", async () => {
  await using bench = await openTwo();
  bench.ca.failNext.set('newOrder', failure('misconfigured', 'invalidProfile'));
  const result = await runToEnd(bench);
  assert.ok(result.outcome === 'issued' && result.issuedBy?.account === 'second');
  assert.deepEqual([bench.guard.account.fault, bench.events], [undefined, []]);
});

test('a refusal of the order is an answer, which closes the breaker, and says nothing of the account', async () => {
  await using bench = await openTwo();
  bench.ca.failNext.set('newOrder', failure('denied', 'caa', 403));
  assert.equal((await runToEnd(bench)).outcome, 'issued');
  assert.deepEqual(bench.heard, { answers: 1, failures: 0 });
  assert.match(bench.log.text(), /"account":"account".*the CA answers again, breaker closed/);
  assert.deepEqual([bench.guard.account.fault, bench.events], [undefined, []]);
});

test('no answer of a CA of which no failure is known is told to its breaker', async () => {
  await using bench = await openTwo();
  bench.guard.breaker = { ...bench.guard.breaker, suspected: false };
  assert.equal((await runToEnd(bench)).outcome, 'issued');
  nextJob(bench);
  bench.ca.failNext.set('newOrder', failure('denied', 'caa', 403));
  assert.equal((await runToEnd(bench)).outcome, 'issued');
  assert.deepEqual(bench.heard, { answers: 0, failures: 0 });
});

test('a CA that is away, or that was not asked, has answered nothing', async () => {
  await using away = await openTwo();
  away.job.data.patience = 0;
  away.ca.newOrder = async () => {
    throw failure('unavailable', 'serverInternal', 503);
  };
  away.guard.breaker.opened = async () => (away.heard.failures > 2 ? { since: 0, reason: 'x' } : undefined);
  assert.equal((await runToEnd(away)).outcome, 'issued');
  assert.deepEqual(away.heard, { answers: 0, failures: 3 });

  await using limited = await openTwo();
  const standing = new StandingLimitError('unavailable', 'wait', { retryAfter: limited.clock.now() + HOUR });
  limited.guard.limits.findStanding = () => standing;
  assert.equal((await runToEnd(limited)).outcome, 'issued');
  assert.deepEqual(limited.heard, { answers: 0, failures: 0 });

  await using hopeless = await openTwo();
  hopeless.parts.solvers.set('http', { ...hopeless.ca.solver, canProve: () => false });
  assert.equal((await failureOf(hopeless)).code, 'denied');
  assert.deepEqual(hopeless.heard, { answers: 0, failures: 0 });
});

test('a job goes on trying a CA that is away for an hour from its turn on, and no longer', async () => {
  await using bench = await openJobBench();
  bench.ca.newOrder = async () => {
    throw failure('unavailable', 'serverInternal', 503);
  };
  bench.clock.turn(2 * HOUR); // what it waited before its turn came does not count
  const began = bench.clock.now();
  assert.equal((await failureOf(bench)).code, 'unavailable');
  const took = bench.clock.now() - began;
  assert.ok(took <= HOUR && took > HOUR - 120_000, `${took}`);
});

test('a job whose CAs are all away looks at them again for an hour from its post on, and no longer', async () => {
  await using bench = await openTwo();
  for (const { guard } of [bench, bench.second]) guard.breaker.admit = async () => 'open';
  const began = bench.clock.now();
  const { code, detail } = await failureOf(bench);
  assert.equal(code, 'unavailable');
  assert.equal(
    detail,
    'the CA of account account cannot be reached; it was not asked; ' +
      'account second: the CA of account second cannot be reached; it was not asked',
  );
  assert.equal(bench.clock.now() - began, HOUR);
  assert.deepEqual([bench.ca.calls, bench.second.ca.calls], [[], []]);
});

test('a step that fails once another worker has the job takes nothing back, as the successor presents it', async () => {
  await using bench = await openJobBench();
  bench.http.on('/order/1', () => {
    bench.records.held = false;
    return { status: 403, body: { type: acmeError('unauthorized'), detail: 'no' } };
  });
  bench.guard.limits.recordFailure = async () => assert.fail('a failure was recorded');
  await assert.rejects(run(bench), { name: 'LockLostError' });
  assert.deepEqual([bench.ca.presented.size, bench.records.results], [2, []]);
});

test('an order is not finalized once another worker has the job', async () => {
  await using bench = await openJobBench();
  const solver = bench.ca.solver;
  const withdraw: typeof solver.withdraw = async (response, signal) => {
    await solver.withdraw(response, signal);
    bench.records.held = false;
  };
  bench.parts.solvers.set('http', { ...solver, withdraw });
  await assert.rejects(run(bench), { name: 'LockLostError' });
  assert.equal(bench.ca.calls.includes('finalize'), false);
});

test('a certificate is not stored, counted or planned for once another worker has the job', async () => {
  await using bench = await openJobBench();
  const { downloadChain } = bench.ca;
  bench.ca.downloadChain = async url => {
    bench.records.held = false;
    return downloadChain(url);
  };
  bench.guard.budget.spendCertificate = async () => assert.fail('counted');
  await assert.rejects(run(bench), { name: 'LockLostError' });
  assert.deepEqual([bench.storage.chains, bench.records.results], [[], []]);
  assert.doesNotMatch(bench.log.text(), /bug in a sign job|no certificate/);
});

const gone = () => failure('gone', 'accountDoesNotExist', 400);

test('an account that the CA has lost is made anew once, and the order with it', async () => {
  await using bench = await openJobBench();
  const lost: string[] = [];
  bench.guard.account.renew = async account => {
    lost.push(account.url);
    return account;
  };
  bench.ca.failNext.set('newOrder', gone());
  assert.equal((await runToEnd(bench)).outcome, 'issued');
  assert.deepEqual(lost, [bench.guard.account.current?.url]);
});

test('an account URL that the CA refuses is looked up by its key, and is for an operator where that changes nothing', async () => {
  await using bench = await openJobBench();
  const refused = problem(400, 'malformed', 'kid does not have required prefix; expected /acme/ov/');
  bench.http.on('/new-order', () => refused);
  let looked = 0;
  bench.guard.account.renew = async account => {
    looked++;
    return account;
  };
  const { code, detail } = await failureOf(bench);
  assert.equal(code, 'misconfigured');
  assert.match(detail, /^the CA refuses the account that it has for the key: .*kid does not have/);
  assert.deepEqual([looked, bench.http.log().filter(one => one === 'POST /new-order').length], [2, 2]);
});

test('a lost account that cannot be made anew is an error where a person has to act, and else tried again', async () => {
  await using refused = await openJobBench();
  refused.guard.account.renew = async () => {
    throw new IssuanceError('misconfigured', 'the terms are not accepted');
  };
  refused.ca.failNext.set('newOrder', gone());
  const { code, detail } = await failureOf(refused);
  assert.deepEqual([code, detail], ['misconfigured', 'the terms are not accepted']);

  await using away = await openJobBench();
  away.guard.account.renew = async () => {
    throw new IssuanceError('denied', 'not now');
  };
  away.ca.failNext.set('newOrder', gone());
  assert.equal((await runToEnd(away)).outcome, 'issued');
  for (const { log } of [refused, away])
    assert.match(log.text(), /the account is gone and cannot be made anew/);
});

test('a stored certificate is handed out only where an account of the job has issued it', async () => {
  for (const [account, issuer, calls] of [
    ['account', 'account', []],
    ['second', 'second', []],
    ['third', 'account', ['newOrder']],
  ] as const) {
    await using bench = await openTwo();
    bench.parts.cas.set('third', { ...bench.guard, name: 'third' });
    const directories = { account: bench.http, second: bench.second.http, third: bench.http };
    const stored = {
      chain: leaf,
      leaf: readCertificate(leaf),
      issuedBy: { account, directory: directories[account].directoryUrl },
    };
    bench.storage.get = async (_, isGood) => (isGood?.(stored) ? stored : undefined);
    const result = await runToEnd(bench);
    assert.ok(result.outcome === 'issued' && result.issuedBy?.account === issuer);
    assert.deepEqual(bench.ca.calls.slice(0, 1), calls);
  }
});

test('the CA that issued what a post replaces is told so, and no other', async () => {
  const storedBy = (issuer: 'account' | 'second', mine: JobBench): KeptEntry => ({
    csr: readCsr(Buffer.from(csr)),
    chain: rfc9773Certificate,
    leaf: { ...readCertificate(leaf), notAfter: mine.clock.now() + HOUR },
    issuedBy: { account: issuer, directory: (issuer === 'account' ? mine : mine.second).http.directoryUrl },
  });
  for (const [issuer, replaces] of [
    ['account', ['aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE']],
    ['second', [undefined]],
  ] as const) {
    await using bench = await openTwo();
    const { storage, http, guard } = bench;
    http.resources.renewalInfo = `${http.url}/renewal-info`;
    delete guard.connection.directory;
    const upkeep = { keyOf: () => 'its key', read: async () => storedBy(issuer, bench) };
    bench.parts.storages.set('kept', { ...storage, upkeep: upkeep as Partial<Upkeep> as Upkeep });
    await runToEnd(bench);
    const orders = http.requests.filter(({ path }) => path === '/new-order');
    assert.deepEqual(
      orders.map(({ payload }) => payload?.replaces),
      replaces,
    );
  }
});

test('a solver that cannot be reached says nothing of the CA: no breaker opens, no account is held back', async () => {
  await using bench = await openTwo();
  const parked: unknown[] = [];
  bench.guard.limits.park = async (...what) => {
    parked.push(what);
    return [];
  };
  const solver = bench.parts.solvers.get('http');
  assert.ok(solver);
  let tries = 0;
  const present: typeof solver.present = async (response, signal) => {
    const detail = 'DNS server 192.0.2.1: no answer';
    const retryAfter = bench.clock.now() + 9 * HOUR;
    if (++tries <= 5) throw new IssuanceError('unavailable', detail, tries > 4 ? { retryAfter } : {});
    return solver.present(response, signal);
  };
  bench.parts.solvers.set('http', { ...solver, present });
  await runToEnd(bench);
  assert.ok(tries >= 5, `${tries} tries`);
  assert.deepEqual([bench.heard.failures, parked], [0, []]);
});
