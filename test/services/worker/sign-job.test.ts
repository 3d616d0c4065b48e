import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runSignJob } from '../../../services/worker/sign-job.ts';
import { damagedValue, IssuanceError } from '../../../shared/base/errors.ts';
import { openStoring } from '../../../shared/base/storage-faults.ts';
import { StandingLimitError } from '../../../shared/limits/limits.ts';
import { readCertificate } from '../../../shared/pki/certificate.ts';
import { readCsr } from '../../../shared/pki/csr.ts';
import { issuerIn } from '../../../shared/pki/issuer.ts';
import { csrKeyDigest } from '../../../shared/pki/public-key.ts';
import { LockLostError } from '../../../shared/queue/sign-records.ts';
import type { KeptEntry, Upkeep } from '../../../shared/storage/storage.ts';
import { requestsOf } from '../../shared/order/scripted-ca.ts';
import { ecKey, makeCertificate, makeIssued } from '../../shared/pki/openssl-csr.ts';
import { rfc9773Certificate } from '../../shared/pki/rfc9773-certificate.ts';
import { csr, issuer, type JobBench, jobData, leaf, names, openJobBench, san } from './job-parts.ts';

const run = ({ parts, job, signals }: JobBench) => runSignJob(parts, job, signals);
const chain = `${leaf.trim()}\n\n${issuer}`;
const refuse = (code: IssuanceError['code'], kind: string, status: number): never => {
  const type = `urn:ietf:params:acme:error:${kind}`;
  throw new IssuanceError(code, 'the CA refused', { problem: { type, status } });
};
const fault = { type: 'urn:ietf:params:acme:error:dns', detail: 'NXDOMAIN' };

/** The failure that a job ended with. */
async function failureOf(bench: JobBench) {
  const end = await run(bench);
  assert.ok(end.end === 'finished' && end.result.outcome === 'failed', JSON.stringify(end));
  assert.deepEqual(bench.records.results, [end.result]);
  return end.result.error;
}

test('runSignJob() orders what was admitted and hands out and stores the chain, leaf first', async () => {
  await using bench = await openJobBench();
  const issuedBy = { account: 'account', directory: bench.http.directoryUrl };
  const result = { outcome: 'issued', block: 'mail', chain, issuedBy };
  assert.deepEqual(await run(bench), { end: 'finished', key: 'the key', result });
  assert.deepEqual([bench.records.results, bench.storage.chains], [[result], [chain]]);
  const [newOrder] = bench.http.requests.filter(({ path }) => path === '/new-order');
  assert.deepEqual(newOrder?.payload, { identifiers: jobData.identifiers });
  assert.equal(bench.ca.presented.size, 0);
});

test('runSignJob() tells the CA what a post replaces: the stored certificate, while it is valid', async () => {
  for (const [left, replaces] of [
    [1, { replaces: 'aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE' }],
    [0, {}],
  ] as const) {
    await using bench = await openJobBench();
    const { storage, clock, http, parts } = bench;
    const kept = { csr: readCsr(Buffer.from(csr)), chain: rfc9773Certificate, leaf: readCertificate(leaf) };
    const entry: KeptEntry = { ...kept, leaf: { ...kept.leaf, notAfter: clock.now() + left } };
    const upkeep = { keyOf: () => 'its key', read: async () => entry } as Partial<Upkeep> as Upkeep;
    parts.storages = new Map([['kept', { ...storage, upkeep }]]);
    http.resources = { renewalInfo: `${http.url}/renewal-info` };
    delete bench.guard.connection.directory;
    bench.guard.budget.takeOrder = async () =>
      assert.equal(left, 0, 'what the CA exempts is not counted') as undefined;
    await run(bench);
    const [newOrder] = http.requests.filter(({ path }) => path === '/new-order');
    assert.deepEqual(newOrder?.payload, { identifiers: jobData.identifiers, ...replaces });
  }
});

test('runSignJob() notes who issues once, also one of whom chains show no more than the name', async () => {
  const signed = makeIssued({ names: san });
  for (const chain of [signed.leaf + signed.issuer, signed.leaf]) {
    await using bench = await openJobBench({ chain });
    const noted = new Set<string>();
    const chains: string[] = [];
    bench.parts.issuers = {
      noted,
      async note(directory, of) {
        chains.push(of);
        noted.add(`${directory} ${issuerIn(of)}`);
      },
    };
    for (let round = 0; round < 2; round++) {
      const end = await runSignJob(bench.parts, { ...bench.job, isNew: true }, bench.signals);
      assert.ok(end.end === 'finished' && end.result.outcome === 'issued', JSON.stringify(end));
    }
    assert.equal(chains.length, 1, issuerIn(chain));
  }
});

test('runSignJob() does nothing for a job whose result is told already but to give up its place', async () => {
  await using bench = await openJobBench();
  const left: string[] = [];
  await run(bench);
  bench.http.requests.length = 0;
  bench.guard.budget.spendCertificate = async () => assert.fail('counted twice');
  bench.guard.budget.leave = async () => void left.push('budget');
  const end = await run(bench);
  assert.deepEqual(end, {
    end: 'finished',
    key: 'the key',
    result: bench.records.results[0],
  });
  assert.deepEqual([bench.http.log(), bench.storage.chains.length, left], [[], 1, ['budget']]);
});

test('runSignJob() stores the certificate before it calls the job finished', async () => {
  await using bench = await openJobBench();
  const acts: string[] = [];
  const { writeResult } = bench.records;
  bench.storage.put = async () => void acts.push('stored');
  bench.records.writeResult = async (...args) => {
    acts.push('result written');
    return writeResult(...args);
  };
  assert.equal((await run(bench)).end, 'finished');
  assert.deepEqual(acts, ['stored', 'result written']);
});

test("runSignJob() saves the order's URL before a challenge is touched, and the challenges before they are presented", async () => {
  await using bench = await openJobBench();
  const saved: [string, number][] = [];
  const { writeCheckpoint } = bench.records;
  bench.records.writeCheckpoint = (lock, state) => {
    const { orders } = state as { orders: { account?: { order: { url?: string } } } };
    saved.push([orders.account?.order.url ?? '', bench.ca.calls.length]);
    return writeCheckpoint(lock, state);
  };
  await run(bench);
  assert.deepEqual(saved[0], [`${bench.http.url}/order/1`, 1]);
  const [, chosen, ...more] = saved.map(([, calls]) => bench.ca.calls.slice(0, calls));
  assert.deepEqual(
    chosen?.slice(1),
    names.map(name => `getAuthorization ${name}`),
  );
  assert.deepEqual(more, [], 'all that follows the CA says again');
});

test('runSignJob() that is stopped at any request leaves all that it has learnt to the next run', async () => {
  await using whole = await openJobBench();
  await run(whole);
  for (let stopAt = 1; stopAt < whole.ca.calls.length; stopAt++) {
    await using bench = await openJobBench();
    const { calls } = bench.ca;
    const push = calls.push.bind(calls);
    calls.push = (...call) => {
      if (push(...call) === stopAt) bench.stopping.abort(new Error('stopping'));
      return calls.length;
    };
    await assert.rejects(run(bench), /stopping/);
    const stopping = new AbortController().signal;
    assert.equal((await runSignJob(bench.parts, bench.job, { ...bench.signals, stopping })).end, 'finished');
    const once = ['newOrder', 'finalize', ...names.map(name => `initiate ${name}`)];
    const repeated = once.filter(call => calls.filter(one => one === call).length !== 1);
    assert.deepEqual(repeated, [], `stopped at ${whole.ca.calls[stopAt - 1]}`);
  }
});

test('runSignJob() resumes elsewhere from each of its checkpoints without repeating anything', async () => {
  await using whole = await openJobBench();
  await run(whole);
  for (let kept = 1; kept <= whole.records.checkpoints.length; kept++) {
    await using bench = await openJobBench();
    const { writeCheckpoint } = bench.records;
    bench.records.writeCheckpoint = async (lock, state) => {
      await writeCheckpoint(lock, state);
      if (bench.records.checkpoints.length === kept) bench.stopping.abort(new Error('stopping'));
    };
    await assert.rejects(run(bench), /stopping/);
    const end = await runSignJob(bench.parts, bench.job, {
      ...bench.signals,
      stopping: new AbortController().signal,
    });
    assert.equal(end.end, 'finished');
    const repeated = ['newOrder', 'finalize', ...names.map(name => `initiate ${name}`)].filter(
      call => bench.ca.calls.filter(one => one === call).length !== 1,
    );
    assert.deepEqual(repeated, [], `after checkpoint ${kept}`);
    assert.equal(bench.ca.presented.size, 0);
  }
});

test('runSignJob() sits out a short wait and gives its slot back for one over two seconds', async () => {
  await using bench = await openJobBench();
  let retryAfter = '2';
  bench.http.on('/order/1', async () => {
    const { url: _, ...body } = await bench.ca.getOrder('');
    const headers: Record<string, string> = body.status === 'pending' ? { 'Retry-After': retryAfter } : {};
    return { body, headers };
  });
  bench.ca.moving = false;
  const { sleep } = bench.clock;
  bench.clock.sleep = async (ms, signal) => {
    await sleep(ms, signal);
    retryAfter = '3';
  };
  bench.http.requests.length = 0;
  const end = await run(bench);
  assert.deepEqual(end, { end: 'later', until: bench.clock.now() + 3_000, hasOrder: true });
  assert.ok(bench.clock.sleeps.every(ms => ms <= 2_000));
  bench.ca.moving = true;
  bench.clock.turn(3_000);
  assert.equal((await run(bench)).end, 'finished');
  assert.equal(bench.ca.calls.filter(call => call === 'newOrder').length, 1);
});

test('runSignJob() does not ask how far a job is that no worker has had', async () => {
  await using bench = await openJobBench();
  bench.records.readJob = async () => assert.fail('asked');
  assert.equal((await runSignJob(bench.parts, { ...bench.job, isNew: true }, bench.signals)).end, 'finished');
  const again = { ...bench.job, isNew: false };
  await assert.rejects(runSignJob(bench.parts, again, bench.signals), /asked/);
});

test('runSignJob() does nothing once it is to stop', async () => {
  await using bench = await openJobBench();
  bench.stopping.abort(new Error('the worker is stopping'));
  await assert.rejects(run(bench), /the worker is stopping/);
  assert.deepEqual([bench.ca.calls, bench.records.checkpoints], [[], []]);
});

test('runSignJob() finishes a step that has begun before it stops, but not when it is cut off', async () => {
  await using bench = await openJobBench();
  bench.http.on('/new-order', async () => {
    bench.stopping.abort(new Error('the worker is stopping'));
    const { url, ...body } = await bench.ca.newOrder(jobData.identifiers);
    return { status: 201, headers: { Location: url }, body };
  });
  await assert.rejects(run(bench), /the worker is stopping/);
  assert.equal(bench.records.checkpoints.length, 1);

  await using other = await openJobBench();
  other.http.on('/new-order', () => {
    other.abort.abort(new Error('the lock was lost'));
    return undefined;
  });
  await assert.rejects(run(other), /the lock was lost/);
  assert.deepEqual([other.records.checkpoints, other.records.results], [[], []]);
});

test('runSignJob() stops in the middle of a wait', async () => {
  await using bench = await openJobBench();
  bench.clock.sleep = (_, signal) =>
    new Promise((_, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason));
      bench.stopping.abort(new Error('the worker is stopping'));
    });
  await assert.rejects(run(bench), /the worker is stopping/);
  assert.deepEqual(bench.records.results, []);
});

test('runSignJob() takes back what it presented when it stops before the CA knows of it; the next one presents it again', async () => {
  await using bench = await openJobBench();
  let seen = false;
  const missing = async () => (seen ? undefined : 'not seen yet');
  bench.parts.solvers.set('http', { ...bench.ca.solver, propagation: { deadline: 600_000, missing } });
  bench.clock.sleep = async (_, signal) => {
    assert.equal(bench.ca.presented.size, 2);
    bench.stopping.abort(new Error('the worker is stopping'));
    signal?.throwIfAborted();
  };
  await assert.rejects(run(bench), /the worker is stopping/);
  assert.equal(bench.ca.presented.size, 0);
  const requests = requestsOf(bench.ca);
  seen = true;
  bench.clock.sleep = async () => {};
  const end = await runSignJob(bench.parts, bench.job, {
    ...bench.signals,
    stopping: new AbortController().signal,
  });
  assert.equal(end.end, 'finished');
  assert.equal(bench.ca.presented.size, 0);
  assert.deepEqual(requestsOf(bench.ca).slice(requests.length, requests.length + 2), [
    ...names.map(name => `initiate ${name}`),
  ]);
});

test('runSignJob() leaves to the next one what the CA may be looking at when it stops', async () => {
  await using bench = await openJobBench();
  bench.clock.sleep = async (_, signal) => {
    bench.stopping.abort(new Error('the worker is stopping'));
    signal?.throwIfAborted();
  };
  await assert.rejects(run(bench), /the worker is stopping/);
  assert.equal(bench.ca.presented.size, 2);
  bench.clock.sleep = async () => {};
  const end = await runSignJob(bench.parts, bench.job, {
    ...bench.signals,
    stopping: new AbortController().signal,
  });
  assert.deepEqual([end.end, bench.ca.presented.size], ['finished', 0]);
});

test('runSignJob() writes nothing more once another worker has the job', async () => {
  await using bench = await openJobBench();
  bench.http.on('/order/1', () => {
    bench.records.held = false;
    return { body: { ...bench.ca.order, status: 'pending' } };
  });
  await assert.rejects(run(bench), { name: 'LockLostError' });
  assert.deepEqual([bench.records.results, bench.storage.chains], [[], []]);
});

test('runSignJob() says nothing of a certificate whose result is not its own to write any more', async () => {
  await using bench = await openJobBench();
  bench.records.writeResult = async () => {
    throw new LockLostError('job 1 belongs to another worker now');
  };
  await assert.rejects(run(bench), { name: 'LockLostError' });
  assert.doesNotMatch(JSON.stringify(bench.log.lines), /certificate issued/);
});

test('runSignJob() delivers a certificate that cannot be stored, keeps it, and tells people of the storage', async () => {
  await using bench = await openJobBench();
  bench.storage.put = async () => {
    throw new Error('ENOSPC: no space left on device');
  };
  const end = await run(bench);
  assert.ok(end.end === 'finished' && end.result.outcome === 'issued');
  const told = bench.log.lines.filter(({ level }) => Number(level) >= 50);
  assert.deepEqual(
    told.map(({ storage, reason }) => [storage, reason]),
    [['kept', 'ENOSPC: no space left on device']],
  );
  const { chain, issuedBy } = end.result;
  assert.deepEqual(
    bench.unstored.kept.map(one => [one.chain, one.issuedBy, one.csr.pem]),
    [[chain, issuedBy, csr]],
  );
  const detail = 'storage "kept" does not take certificates: ENOSPC: no space left on device';
  assert.deepEqual(bench.events, [{ kind: 'storage-failed', subject: 'storage/kept', names: [], detail }]);
});

test('runSignJob() delivers a certificate that can be neither stored nor kept', async () => {
  await using bench = await openJobBench();
  const fails = () => Promise.reject(new Error('OOM command not allowed'));
  bench.storage.put = fails;
  bench.unstored.keep = fails;
  const end = await run(bench);
  assert.ok(end.end === 'finished' && end.result.outcome === 'issued');
});

test('runSignJob() hands out what the storage did not take, in place of an order, and stores it as soon as it can', async () => {
  await using bench = await openJobBench();
  const { storage, unstored, records, trail, ca } = bench;
  const ended: string[] = [];
  bench.parts.notices.ended = async (subject, kinds) => void ended.push(`${subject} ${kinds}`);
  const { put } = storage;
  storage.put = () => Promise.reject(new Error('ENOSPC'));
  const first = await run(bench);
  const [kept] = unstored.kept;
  records.results.length = 0;
  records.checkpoints.length = 0;
  const asked: string[] = [];
  records.enterFlight = async (_job, _flight, keys) => {
    asked.push(...keys);
    return keys.map(key => (key.startsWith('unstored kept ') ? (kept?.sealed ?? null) : null));
  };
  ca.calls.length = 0;
  const second = await run(bench);
  assert.ok(first.end === 'finished' && first.result.outcome === 'issued');
  assert.ok(second.end === 'finished' && second.result.outcome === 'issued');
  assert.deepEqual([second.result.chain, ca.calls], [first.result.chain, []]);
  assert.ok(asked.includes(`unstored kept ${kept?.csr.digest}`));
  assert.deepEqual([storage.chains, ended, unstored.kept.length], [[], [], 1], 'it cannot be stored yet');
  assert.deepEqual(records.told.at(-1)?.event.event, 'handed-out');

  storage.put = put;
  records.results.length = 0;
  assert.equal((await run(bench)).end, 'finished');
  assert.deepEqual([storage.chains, unstored.kept], [[first.result.chain], []]);
  assert.deepEqual([ended, trail, ca.calls], [['storage/kept storage-failed'], [], []]);
});

test('runSignJob() hands out what is kept where the storage cannot even be read, and never to a renewal that it is too old for', async () => {
  await using bench = await openJobBench();
  const { storage, unstored, records, ca, clock } = bench;
  const { faults } = openStoring({ clock, log: bench.log.log });
  storage.put = () => Promise.reject(new Error('EROFS'));
  await run(bench);
  const sealed = unstored.kept[0]?.sealed ?? '';
  records.enterFlight = async (_job, _flight, keys) =>
    keys.map(key => (/^unstored/.test(key) ? sealed : null));
  storage.get = () => Promise.reject(faults.failed('kept', 'read', '', new Error('EIO')));
  const again = async () => {
    records.results.length = 0;
    records.checkpoints.length = 0;
    ca.calls.length = 0;
    return run(bench);
  };
  assert.equal((await again()).end, 'finished');
  assert.deepEqual(ca.calls, []);
  storage.get = async () => undefined;
  bench.job.data = { ...bench.job.data, due: unstored.kept[0]?.leaf.notAfter ?? 0 };
  await again();
  assert.notDeepEqual(ca.calls, []);
});

for (const [what, sent, detail] of [
  ['for another key', makeCertificate({ key: ecKey('P-384') }), "is not for the CSR's key"],
  ['without a name', makeCertificate({ names: 'DNS:a.example' }), 'does not hold b.example'],
  [
    'with a name that the auth block does not admit',
    makeCertificate({ names: `${san},DNS:c.example` }),
    'also holds "c.example", which was not ordered',
  ],
] as const)
  test(`runSignJob() hands out no certificate ${what}`, async () => {
    await using bench = await openJobBench({ chain: sent });
    const { code, detail: told } = await failureOf(bench);
    assert.deepEqual([code, told], ['unexpected', `the CA sent a certificate that ${detail}`]);
    assert.deepEqual(bench.storage.chains, []);
  });

test('runSignJob() hands out a certificate with a name more that the auth block admits too', async () => {
  const more = makeCertificate({ names: `${san},DNS:www.mail.example` });
  await using bench = await openJobBench({ chain: more });
  await run(bench);
  assert.deepEqual(bench.storage.chains, [more]);
});

for (const [what, fail] of [
  ['is damaged', () => leaf.replace(/\n[^-]{20}/, '\nAAAAAAAAAAAAAAAAAAAA')],
  ['is none', () => '<html></html>'],
  ['is empty', () => ''],
  ['is 404', () => refuse('gone', 'malformed', 404)],
  ['is 403', () => refuse('misconfigured', 'unauthorized', 403)],
  ['is 429', () => refuse('rateLimited', 'rateLimited', 429)],
] as const)
  test(`runSignJob() asks for the same certificate again where the answer ${what}, and orders no other`, async () => {
    await using bench = await openJobBench();
    const { ca } = bench;
    const { downloadChain } = ca;
    let asked = 0;
    ca.downloadChain = async url => (asked++ < 12 ? fail() : downloadChain(url));
    let end = await run(bench);
    for (; end.end === 'later'; end = await run(bench)) bench.clock.turn(end.until - bench.clock.now());
    assert.ok(end.result.outcome === 'issued', JSON.stringify(end.result));
    const [orders, finalized] = ['newOrder', 'finalize'].map(one => ca.calls.filter(call => call === one));
    assert.deepEqual([orders?.length, finalized?.length, bench.storage.chains], [1, 1, [chain]]);
  });

test('runSignJob() withdraws all challenges of an order that failed, and names what failed', async () => {
  await using bench = await openJobBench({ faults: { 'b.example': fault } });
  const { code, detail, problem } = await failureOf(bench);
  assert.deepEqual(
    [code, detail],
    [
      'challengeFailed',
      'b.example: NXDOMAIN: add A or AAAA records that lead to a web server, which has to serve /.well-known/acme-challenge/, or pass it on to a responder of Quarry',
    ],
  );
  assert.deepEqual(problem?.identifier, { type: 'dns', value: 'b.example' });
  assert.equal(bench.ca.presented.size, 0);
  assert.ok(requestsOf(bench.ca).length > 5);
});

/** A step failed: the job gives its slot back, and comes again. */
async function waitForNextRun(bench: Parameters<typeof run>[0]): Promise<void> {
  const end = await run(bench);
  assert.ok(end.end === 'later');
  bench.clock.turn(end.until - bench.clock.now());
}

test('runSignJob() makes a new order where Redis was away while the CA looked, and counts that against nobody but at the CA', async () => {
  await using bench = await openJobBench({ faults: { 'a.example': fault } });
  const { parts, clock } = bench;
  const spent: string[] = [];
  bench.guard.budget.spendFailures = async failed => void spent.push(...failed);
  bench.guard.limits.recordFailure = async () => assert.fail('a failure was recorded');
  const started = clock.now();
  parts.outages = { anySince: time => time >= started && time <= clock.now() };
  await waitForNextRun(bench);
  assert.deepEqual([spent, bench.ca.presented.size], [['a.example'], 0]);
  parts.outages = { anySince: () => false };
  bench.guard.limits.recordFailure = async () => undefined;
  bench.guard.budget.spendFailures = async () => {};
  assert.equal((await failureOf(bench)).code, 'challengeFailed');
  assert.match(bench.log.text(), /the CA looked at the challenges while Redis was away/);
  assert.deepEqual(spent, ['a.example']);
  assert.equal(bench.ca.calls.filter(call => call === 'newOrder').length, 2);
});

test('runSignJob() makes a new order where Redis was away too for the run that told the CA, which saved no more', async () => {
  await using bench = await openJobBench({ faults: { 'a.example': fault } });
  const { parts, records, job } = bench;
  await failureOf(bench);
  records.results.length = 0;
  const presented = records.checkpoints.findIndex(text => text.includes('"token"'));
  assert.match(records.checkpoints[presented] ?? '', /"initiated":false/);
  records.checkpoints.length = presented + 1;
  parts.outages = { anySince: time => time >= job.createdAt };
  await waitForNextRun(bench);
  assert.match(bench.log.text(), /the CA looked at the challenges while Redis was away/);
});

test('runSignJob() ends with the failure also where the challenges cannot be withdrawn', async () => {
  await using bench = await openJobBench({ faults: { 'a.example': fault } });
  bench.ca.failNext.set('withdraw', new IssuanceError('unavailable', 'Redis cannot be reached'));
  assert.equal((await failureOf(bench)).code, 'challengeFailed');
  assert.match(bench.log.text(), /challenge responses of order \S+ remain until they expire/);
});

test('runSignJob() comes back with the same order where the CA is away for a moment', async () => {
  await using bench = await openJobBench();
  const away = { type: 'urn:ietf:params:acme:error:serverInternal', status: 500 };
  bench.ca.failNext.set('finalize', new IssuanceError('unavailable', 'x', { problem: away, retryAfter: 30 }));
  assert.deepEqual(await run(bench), { end: 'later', until: bench.clock.now() + 30_000, hasOrder: true });
  bench.clock.turn(30_000);
  assert.equal((await run(bench)).end, 'finished');
  assert.equal(bench.ca.calls.filter(call => call === 'newOrder').length, 1);
});

test('runSignJob() makes a new order where the CA has lost one, and takes back what it had presented for it', async () => {
  await using bench = await openJobBench();
  const presented: number[] = [];
  const { newOrder } = bench.ca;
  bench.ca.newOrder = async identifiers => {
    presented.push(bench.ca.presented.size);
    const made = await newOrder(identifiers);
    bench.ca.lost = presented.length === 1;
    return made;
  };
  await waitForNextRun(bench);
  assert.equal((await run(bench)).end, 'finished');
  assert.deepEqual(presented, [0, 0]);
});

test('runSignJob() keeps the details of a bug in the log', async () => {
  await using bench = await openJobBench();
  bench.ca.failNext.set('present', new TypeError('x.y is not a function'));
  assert.deepEqual(await failureOf(bench), { code: 'internal', detail: 'internal error' });
  assert.match(bench.log.text(), /x\.y is not a function/);
});

test('runSignJob() logs names and order, and neither CSR nor key authorization', async () => {
  await using bench = await openJobBench();
  await run(bench);
  const text = bench.log.text();
  assert.match(text, /"names":\["a\.example","b\.example"\]/);
  const made = bench.log.lines.filter(({ msg }) => msg === 'order made');
  assert.deepEqual(
    made.map(({ order, account, names }) => ({ order, account, names })),
    [{ order: `${bench.http.url}/order/1`, account: 'account', names }],
  );
  for (const line of jobData.csr.split('\n').filter(one => one.length > 30))
    assert.equal(text.includes(line), false);
  const [token = ''] = bench.ca.authorizations.flatMap(({ challenges }) => challenges.map(one => one.token));
  assert.equal(text.includes(token), false);
});

test('runSignJob() gives up on a CA that never finishes, in good time for others to order the same names', async () => {
  await using bench = await openJobBench();
  bench.ca.moving = false;
  let end = await run(bench);
  for (let runs = 0; end.end === 'later' && runs < 1_000; runs++) {
    bench.clock.turn(Math.max(end.until - bench.clock.now(), 0));
    end = await run(bench);
  }
  assert.ok(end.end === 'finished' && end.result.outcome === 'failed');
  assert.equal(end.result.error.code, 'unavailable');
  assert.ok(bench.clock.now() - bench.job.createdAt <= 3_600_000);
  assert.equal(bench.ca.presented.size, 0);
});

test('runSignJob() hands out a certificate whose counting fails', async () => {
  await using bench = await openJobBench();
  bench.guard.budget.spendCertificate = async () => {
    throw new Error('OOM command not allowed');
  };
  const end = await run(bench);
  assert.ok(end.end === 'finished' && end.result.outcome === 'issued');
  assert.deepEqual(bench.storage.chains, [chain]);
  assert.match(JSON.stringify(bench.log.lines), /OOM command not allowed/);
});

test('runSignJob() waits for another job that orders the same names, and then hands out what that one stored', async () => {
  await using bench = await openJobBench();
  let free = false;
  bench.records.enterFlight = async () => (free ? [] : undefined);
  assert.deepEqual(await run(bench), {
    ...{ end: 'later', until: bench.clock.now() + 1_000, hasOrder: false, why: { for: 'names' } },
  });
  free = true;
  bench.storage.get = async () => ({ chain, leaf: readCertificate(leaf) });
  const end = await run(bench);
  assert.ok(end.end === 'finished' && end.result.outcome === 'issued' && end.result.chain === chain);
  assert.deepEqual(bench.ca.calls, []);
});

test('runSignJob() hands out no stored certificate with a name more that the auth block does not admit', async () => {
  for (const [name, instead] of [
    ['www.other.example', false],
    ['www.mail.example', true],
  ] as const) {
    await using bench = await openJobBench();
    const stored = makeCertificate({ names: `${san},DNS:${name}` });
    const found = { chain: stored, leaf: readCertificate(stored) };
    bench.storage.get = async (_, isGood = () => true) => (isGood(found) ? found : undefined);
    const end = await run(bench);
    assert.ok(end.end === 'finished' && end.result.outcome === 'issued');
    assert.equal(end.result.chain === stored, instead, name);
  }
});

test('runSignJob() renews what is to be replaced however fresh it is, and takes what somebody else has renewed', async () => {
  await using bench = await openJobBench();
  const due = 5_000_000;
  const job = { ...bench.job, data: { ...bench.job.data, due } };
  const endingAt = (notAfter: number) => ({ chain: leaf, leaf: { ...readCertificate(leaf), notAfter } });
  bench.storage.get = async () => endingAt(due + 1);
  const taken = await runSignJob(bench.parts, job, bench.signals);
  assert.ok(taken.end === 'finished' && taken.result.outcome === 'issued' && taken.result.chain === leaf);
  assert.deepEqual(bench.ca.calls, []);
  bench.records.results.length = 0;
  bench.storage.get = async () => endingAt(due);
  await runSignJob(bench.parts, job, bench.signals);
  assert.equal(bench.ca.calls[0], 'newOrder');
});

test('runSignJob() does not ask the CA for what a limit stands against, and counts it as no new failure', async () => {
  await using bench = await openJobBench();
  const standing = new StandingLimitError('rateLimited', 'too many', { retryAfter: 2_000_000 });
  bench.guard.limits.findStanding = () => standing;
  bench.guard.limits.park = async () => assert.fail('parked again');
  const { code, retryAfter } = await failureOf(bench);
  assert.deepEqual([code, retryAfter, bench.ca.calls], ['rateLimited', 2_000_000, []]);
});

test('runSignJob() orders nothing for a blocked key, and asks for it with the limits and with the lock', async () => {
  await using bench = await openJobBench();
  const { limits } = bench.guard;
  const refusal = new StandingLimitError('denied', 'the public key is blocked');
  const publicKey = csrKeyDigest(readCsr(Buffer.from(csr)).der);
  limits.keysAgainst = (_, __, ___, key) => [`key ${key}`, 'a limit'];
  limits.blockedKey = key => `key ${key}`;
  limits.findStanding = (keys, values) =>
    keys[values.indexOf('blocked')] === `key ${publicKey}` ? refusal : undefined;

  bench.records.enterFlight = async (_, __, keys) =>
    keys.map(key => (key.startsWith('key') ? 'blocked' : null));
  const atFirst = await failureOf(bench);
  assert.deepEqual([atFirst.code, atFirst.detail, bench.ca.calls], ['denied', refusal.message, []]);

  // It is blocked while the order is under way: the certificate is not asked for.
  bench.records.results.length = 0;
  bench.records.enterFlight = async (_, __, keys) => keys.map(() => null);
  bench.records.confirmLock = async (_, keys = []) => keys.map(() => 'blocked');
  const later = await failureOf(bench);
  assert.equal(later.code, 'denied');
  assert.ok(bench.ca.calls.includes('newOrder') && !bench.ca.calls.includes('finalize'), `${bench.ca.calls}`);
  assert.equal(bench.ca.presented.size, 0);
});

test('runSignJob() fails a job whose progress is damaged with the key of that, and gives up what it holds', async () => {
  await using bench = await openJobBench();
  const left: string[] = [];
  const damage = damagedValue('{quarry}:checkpoint:job-1');
  bench.records.readJob = async () => Promise.reject(damage);
  bench.records.leaveFlight = async (_, { account }) => void left.push(account);
  const { code, detail } = await failureOf(bench);
  assert.deepEqual([code, detail, left], ['misconfigured', damage.message, ['account']]);
  assert.deepEqual(bench.ca.calls, []);
});

for (const [what, saved] of [
  ['no orders', { refusals: [] }],
  [
    'an order without challenges',
    { orders: { account: { order: {}, failures: 0, lostOrders: 0 } }, refusals: [] },
  ],
  ['a refusal of no code', { orders: {}, refusals: [{ account: 'account', code: 'no', detail: '' }] }],
] as const)
  test(`runSignJob() takes progress with ${what} for damaged`, async () => {
    await using bench = await openJobBench();
    bench.records.readJob = async (_, isCheckpoint) => {
      if (!isCheckpoint(saved)) throw damagedValue('its key');
      return { checkpoint: saved, resultWritten: undefined };
    };
    assert.match((await failureOf(bench)).detail, /^the value of its key in Redis is damaged/);
  });

test('runSignJob() lets the one-time token of a job that fails go with its result, and of no other', async () => {
  const spends = 'the digest of a token';
  await using refused = await openJobBench({ chain: makeCertificate({ key: ecKey('P-384') }) });
  refused.job.data = { ...refused.job.data, spends };
  await failureOf(refused);
  assert.ok(refused.records.voided.includes(refused.records.tokenUse(spends)));
  await using good = await openJobBench();
  good.job.data = { ...good.job.data, spends };
  await run(good);
  assert.ok(!good.records.voided.includes(good.records.tokenUse(spends)));
});
