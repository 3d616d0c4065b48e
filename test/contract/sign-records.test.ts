import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { toSealed } from '../../shared/admission/hmac.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { toScript } from '../../shared/base/redis.ts';
import { type Flight, openSignRecords, type SignResult } from '../../shared/queue/sign-records.ts';
import type { TrailEvent } from '../../shared/trail/event.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { testSeals } from '../support/test-seals.ts';

const server = await startRedis();
const redis = openRedis({ url: server.url }, 'patient', quietLog);
after(async () => {
  closeRedis(redis);
  await server[Symbol.asyncDispose]();
});

const prefix = '{quarry}';
const records = openSignRecords({ redis, prefix }, testSeals);
const issued: SignResult = { outcome: 'issued', block: 'mail', chain: 'a chain' };

const flight: Flight = { account: 'account', identifiers: [{ type: 'dns', value: 'a.example' }] };

const isAny = (value: unknown): value is object => typeof value === 'object';

let jobs = 0;

/** A job that a worker holds, by BullMQ's own lock key. */
async function heldJob() {
  const lock = { jobId: `job-${++jobs}`, token: `token-${jobs}` };
  await redis.set(`${prefix}:sign:${lock.jobId}:lock`, lock.token);
  return lock;
}

test('a checkpoint is read back as it was written, by whoever has the job next', async () => {
  const lock = await heldJob();
  assert.deepEqual(await records.readJob(lock.jobId, isAny), {
    checkpoint: undefined,
    resultWritten: undefined,
  });
  await records.writeCheckpoint(lock, { order: { url: 'https://ca.example/order/1' }, failures: 0 });
  await records.writeCheckpoint(lock, { order: { url: 'https://ca.example/order/1' }, failures: 1 });
  const { checkpoint: read } = await openSignRecords({ redis, prefix }, testSeals).readJob(lock.jobId, isAny);
  assert.deepEqual(read, { order: { url: 'https://ca.example/order/1' }, failures: 1 });
});

test('a result is read back, alone and among others', async () => {
  const lock = await heldJob();
  assert.equal(await records.readResult(lock.jobId), undefined);
  const key = await records.writeResult(lock, issued, flight);
  const [seal, text] = ((await redis.get(key)) ?? '').split(/ (.*)/s);
  assert.match(`${seal}`, /^[0-9a-f]{64}$/);
  assert.deepEqual(JSON.parse(`${text}`), issued);
  assert.deepEqual(await records.readResult(lock.jobId), issued);
  assert.deepEqual(await records.readJob(lock.jobId, isAny), {
    checkpoint: undefined,
    resultWritten: { key, result: issued },
  });
  assert.deepEqual(await records.readResults(['none', lock.jobId]), [undefined, issued]);
  assert.deepEqual(await records.readResults([]), []);
});

for (const [what, lose] of [
  ['lost', (key: string) => redis.del(key)],
  ["another worker's", (key: string) => redis.set(key, 'another token')],
] as const)
  test(`a worker whose lock is ${what} writes neither checkpoint nor result`, async () => {
    const lock = await heldJob();
    await records.confirmLock(lock);
    await records.writeCheckpoint(lock, { step: 1 });
    await lose(`${prefix}:sign:${lock.jobId}:lock`);
    await assert.rejects(records.confirmLock(lock), { name: 'LockLostError' });
    await assert.rejects(records.writeCheckpoint(lock, { step: 2 }), { name: 'LockLostError' });
    await assert.rejects(records.writeResult(lock, issued, flight), { name: 'LockLostError' });
    assert.deepEqual(await records.readJob(lock.jobId, isAny), {
      checkpoint: { step: 1 },
      resultWritten: undefined,
    });
    assert.equal(await records.readResult(lock.jobId), undefined);
  });

test('a result lets others order the same names, and only those that its own job kept', async () => {
  const [lock, other] = [await heldJob(), await heldJob()];
  const isFree = async () => {
    const anybody = await heldJob();
    const free = await records.enterFlight(anybody, flight, []);
    await records.leaveFlight(anybody, flight);
    return free !== undefined;
  };
  assert.ok(await records.enterFlight(other, flight, []));
  await records.writeResult(lock, issued, flight);
  assert.equal(await isFree(), false);
  await redis.del(`${prefix}:sign:${other.jobId}:lock`);
  await assert.rejects(records.writeResult(other, issued, flight), { name: 'LockLostError' });
  assert.equal(await isFree(), false, "it is its successor's now");
  await redis.set(`${prefix}:sign:${other.jobId}:lock`, other.token);
  await records.writeResult(other, issued, flight);
  assert.equal(await isFree(), true);
});

test('a worker that has lost a job neither takes nor gives up what its successor may order', async () => {
  const [lock, other] = [await heldJob(), await heldJob()];
  const successor = { ...lock, token: 'of the successor' };
  const names: Flight = { ...flight, account: 'third' };
  await redis.set(`${prefix}:sign:${lock.jobId}:lock`, successor.token);
  assert.ok(await records.enterFlight(successor, names, []));
  await assert.rejects(records.leaveFlight(lock, names), { name: 'LockLostError' });
  assert.equal(await records.enterFlight(other, names, []), undefined, 'another job makes no second order');
  await records.writeResult(successor, issued, names);
  await redis.del(`${prefix}:sign:${lock.jobId}:lock`);
  await assert.rejects(records.enterFlight(lock, names, []), { name: 'LockLostError' });
  assert.ok(await records.enterFlight(other, names, []), 'the next job waits for nobody');
});

test('a result leaves the same names alone at another account, and with another certificate profile', async () => {
  const [lock, other] = [await heldJob(), await heldJob()];
  const elsewhere = { ...flight, account: 'second' };
  const profiled = { ...flight, certificateProfile: 'shortlived' };
  for (const one of [elsewhere, profiled]) {
    assert.ok(await records.enterFlight(lock, one, []));
    await records.writeResult(lock, issued, flight);
    assert.equal(await records.enterFlight(other, one, []), undefined);
    await records.leaveFlight(lock, one);
    assert.ok(await records.enterFlight(other, one, []));
  }
});

test('checkpoints and results go by themselves, and the checkpoint of a finished job soon', async () => {
  const lock = await heldJob();
  const checkpoint = `${prefix}:checkpoint:${lock.jobId}`;
  await records.writeCheckpoint(lock, { step: 1 });
  const [long, result] = [await redis.ttl(checkpoint), await records.writeResult(lock, issued, flight)];
  assert.ok(long > 24 * 3_600);
  assert.ok((await redis.ttl(result)) > 3_600);
  const short = await redis.ttl(checkpoint);
  assert.ok(short > 0 && short <= 600, `${short}`); // BullMQ may not have heard of the end yet
});

test('a result whose certificate was revoked since is as good as none, and others stay', async () => {
  const pem = (text: string) => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`;
  const [lock, other] = [await heldJob(), await heldJob()];
  await records.writeResult(lock, { ...issued, chain: `${pem('AAAA')}\n${pem('BBBB')}` }, flight);
  await records.writeResult(other, { ...issued, chain: `${pem('CCCC')}\n${pem('AAAA')}` }, flight);
  await records.withhold(pem('AAAA'));
  assert.equal(await records.readResult(lock.jobId), undefined);
  assert.equal((await records.readResult(other.jobId))?.outcome, 'issued');
  const outcomes = (await records.readResults([lock.jobId, other.jobId, 'none'])).map(
    result => result?.outcome,
  );
  assert.deepEqual(outcomes, [undefined, 'issued', undefined]);
});

for (const [what, text] of [
  ['no JSON', '{"outcome":"issued","ch'],
  ['of no kind that there is', '{"outcome":"lost","block":"mail","secret":"x"}'],
  ['without its chain', '{"outcome":"issued","block":"mail"}'],
  [
    'a failure of no code that there is',
    '{"outcome":"failed","block":"mail","error":{"code":"x","detail":"y"}}',
  ],
] as const)
  test(`a result that is ${what} is named by its key, and keeps no other from being read`, async () => {
    const [lock, damaged] = [await heldJob(), await heldJob()];
    await records.writeResult(lock, issued, flight);
    const key = `${prefix}:result:${damaged.jobId}`;
    await redis.set(key, toSealed(testSeals, `sign result ${damaged.jobId}`, text));
    const message = `the value of ${key} in Redis is damaged; delete it to go on without it`;
    await assert.rejects(records.readResult(damaged.jobId), { code: 'misconfigured', message });
    await assert.rejects(records.readJob(damaged.jobId, isAny), { message });
    const [first, second] = await records.readResults([damaged.jobId, lock.jobId]);
    assert.equal(first?.outcome === 'failed' && first.error.detail, message);
    assert.deepEqual(second, issued);
  });

test('a checkpoint that is damaged is named by its key', async () => {
  const lock = await heldJob();
  const key = `${prefix}:checkpoint:${lock.jobId}`;
  for (const text of ['nonsense', '7']) {
    await redis.set(key, toSealed(testSeals, `sign checkpoint ${lock.jobId}`, text));
    const message = `the value of ${key} in Redis is damaged; delete it to go on without it`;
    await assert.rejects(records.readJob(lock.jobId, isAny), { code: 'misconfigured', message });
  }
});

const event: TrailEvent = { at: 0, event: 'ordered', names: ['a.example'] };
const trailOf = async () => (await redis.xrange(`${prefix}:trail`, '-', '+')).map(([, fields]) => fields);

const keep = toScript("redis.call('SET', KEYS[1], ARGV[1]) return tonumber(ARGV[1])");

test('a result is written in one moment with scripts that go before it, or not at all', async () => {
  const lock = await heldJob();
  const key = `${prefix}:first`;
  const after = (...answers: number[]) => {
    const first = answers.map(answer => ({ script: keep, keys: [key], args: [answer] }));
    return records.writeResultAfter(first, lock, issued, flight);
  };
  for (const refusing of [[0], [0, 1], [1, 0]]) assert.equal(await after(...refusing), undefined);
  assert.equal(await records.readResult(lock.jobId), undefined);
  assert.equal(await after(1), `${prefix}:result:${lock.jobId}`);
  assert.deepEqual(await records.readResult(lock.jobId), issued);
  await redis.del(key, `${prefix}:sign:${lock.jobId}:lock`);
  await assert.rejects(after(1), { name: 'LockLostError' });
  assert.equal(await redis.exists(key), 0, 'who lost the job runs nothing');
});

test('an event is in the trail with the checkpoint or the result that it tells of, and not without', async () => {
  const lock = await heldJob();
  await records.writeCheckpoint(lock, { step: 1 });
  await records.writeResult(lock, { ...issued, chain: 'another' }, flight, ['over']);
  assert.deepEqual(await trailOf(), []);
  await redis.set('over', '');
  await records.writeCheckpoint(lock, { step: 2 }, event);
  const told = { event: { ...event, event: 'issued' as const }, beside: ['leaf', 'MIIB'] };
  await records.writeResult(lock, issued, flight, ['over'], told);
  const written = [
    ['event', JSON.stringify(event)],
    ['event', JSON.stringify(told.event), 'leaf', 'MIIB'],
  ];
  // As where the answer was lost, and a connection sends again what it had sent.
  await records.writeCheckpoint(lock, { step: 2 }, event);
  await records.writeResult(lock, issued, flight, ['over'], told);
  assert.deepEqual(await trailOf(), written);
  assert.equal(await redis.exists('over'), 0, 'what is void is deleted beside an event');
  await redis.del(`${prefix}:sign:${lock.jobId}:lock`);
  await assert.rejects(records.writeCheckpoint(lock, { step: 3 }, event), { name: 'LockLostError' });
  await assert.rejects(records.writeResult(lock, issued, flight, [], told), { name: 'LockLostError' });
  assert.deepEqual(await trailOf(), written);
});

test("a lock that has run out is its worker's still, until another one takes the job", async () => {
  const lock = { ...(await heldJob()), takes: 3 };
  const [job, key] = [`${prefix}:sign:${lock.jobId}`, `${prefix}:sign:${lock.jobId}:lock`];
  await redis.hset(job, 'ats', 3);
  await redis.del(key);
  await records.writeCheckpoint(lock, { step: 1 });
  await records.writeResult(lock, issued, flight);
  assert.deepEqual((await records.readJob(lock.jobId, isAny)).checkpoint, { step: 1 });
  await records.confirmLock(lock);
  assert.equal(await redis.get(key), lock.token, 'it is renewed');
  assert.ok((await redis.pttl(key)) > 0);

  await redis.del(key);
  await redis.hset(job, 'ats', 4); // another worker had it, and gave it back
  await assert.rejects(records.confirmLock(lock), { name: 'LockLostError' });
  await assert.rejects(records.writeCheckpoint(lock, { step: 2 }), { name: 'LockLostError' });
  await assert.rejects(records.writeResult(lock, issued, flight), { name: 'LockLostError' });
  await redis.del(job); // and ended it
  await assert.rejects(records.confirmLock(lock), { name: 'LockLostError' });
  assert.deepEqual((await records.readJob(lock.jobId, isAny)).checkpoint, { step: 1 });
});
