import assert from 'node:assert/strict';
import { after, afterEach, suite, test } from 'node:test';
import { ask } from '../support/ask.ts';
import { makeCsr } from '../support/csr.ts';
import { type RoleProcess, startFleet } from '../support/fleet.ts';
import { startRedisProxy } from '../support/redis-proxy.ts';
import { waitUntil } from '../support/wait-until.ts';

// A client that waits for Redis to come back waits for longer than a test may take.
const fleet = await startFleet({ roles: [], mgmt: 'wait = 3600', blocks: storages() });
after(() => fleet[Symbol.asyncDispose]());
afterEach(() => fleet.letGo());

function storages(): string {
  return `[storage "redis"]
type = redis
[storage "none"]
type = none
[auth "stored"]
ip = 127.0.0.1
domain = *.stored.example
storage = redis
[auth "plain"]
ip = 127.0.0.1
domain = *.plain.example
storage = none
`;
}

const everyRole = () => (['intake', 'worker', 'responder'] as const).flatMap(role => fleet.all(role));
const readiness = (role: RoleProcess) => ask(`${role.adminUrl}/readyz`);
const told = (role: RoleProcess, pattern: RegExp) =>
  role.log().filter(({ msg }) => pattern.test(`${msg}`)).length;

async function untilReady(roles = everyRole()): Promise<void> {
  await waitUntil('all roles to be ready', async () =>
    (await Promise.all(roles.map(readiness))).every(({ status }) => status === 200),
  );
}

async function assertIssues(name: string): Promise<void> {
  const { csrPem } = await makeCsr({ names: [name] });
  const { status, body } = await fleet.post(csrPem);
  assert.equal(status, 200, body);
}

/** A post is refused while Redis is away, long before its wait would end, with a hint when to come back. */
async function assertAway(name: string): Promise<void> {
  const { csrPem } = await makeCsr({ names: [name] });
  const { status, headers, body } = await fleet.post(csrPem);
  assert.deepEqual([status, body], [503, 'Redis cannot be reached\n']);
  assert.ok(Number(headers['retry-after']) > 0);
}

suite('roles that start before Redis and the CA can be reached', () => {
  test('live, are not ready, say so once, answer 503, and become ready by themselves', async () => {
    await fleet.redis.stop();
    await fleet.ca.goDown();
    const roles = await Promise.all(
      (['intake', 'worker', 'responder'] as const).map(role => fleet.start(role, { ready: 'alive' })),
    );
    const [intake, worker, responder] = roles as [RoleProcess, RoleProcess, RoleProcess];
    for (const role of roles) {
      assert.equal((await ask(`${role.adminUrl}/healthz`)).status, 200);
      await waitUntil('the role to say that Redis is away', () => told(role, /Redis cannot be reached/) > 0);
      const { status, body } = await readiness(role);
      assert.equal(status, 503);
      assert.match(body, /\S/);
    }
    await waitUntil('the intake to listen', () => told(intake, /intake listens/) > 0);
    await assertAway('early.plain.example');
    await assertAway('early.stored.example');
    const token = await ask(`${responder.url}/.well-known/acme-challenge/${'t'.repeat(43)}`);
    assert.equal(token.status, 503, 'nginx asks the next responder');

    await fleet.redis.restart();
    await untilReady([intake, responder]);
    await waitUntil('the worker to say that the CA is away', () => told(worker, /no account yet/) > 0);
    const { status, body } = await readiness(worker);
    assert.equal(status, 503);
    assert.match(body, /worker: .*cannot be reached/);
    const attempts = fleet.ca.rule({ do: { drop: 'before' } });
    await fleet.ca.comeBack();
    await attempts.hit(2);
    attempts.remove();
    await untilReady();
    for (const role of roles) assert.equal(told(role, /Redis cannot be reached/), 1, 'said once');
    for (const role of roles) assert.equal(told(role, /Redis is back/), 1);
    assert.equal(told(worker, /no account yet/), 1, 'said once');
    await assertIssues('first.plain.example');
  });
});

suite('Redis', () => {
  test('away under running roles: 503 before it is back, and all work again when it is', async () => {
    const { csrPem } = await makeCsr({ names: ['kept.stored.example'] });
    const before = await fleet.post(csrPem);
    assert.equal(before.status, 200, before.body);
    await fleet.redis.kill();
    for (const role of everyRole()) {
      await waitUntil('the role not to be ready', async () => (await readiness(role)).status === 503);
    }
    await assertAway('away.plain.example');
    await assertAway('away.stored.example');
    await fleet.redis.restart();
    await untilReady();
    await assertIssues('back.plain.example');
    const orders = fleet.orders();
    assert.equal((await fleet.post(csrPem)).body, before.body, 'what was stored is there');
    assert.equal(fleet.orders(), orders);
  });

  test('that hangs: 503 while it does', async () => {
    process.kill(fleet.redis.pid, 'SIGSTOP');
    try {
      for (const role of everyRole()) {
        const { status, body } = await readiness(role);
        assert.equal(status, 503);
        assert.match(body, /: Redis (does not answer|cannot be reached)/);
      }
      await assertAway('hangs.plain.example');
      await assertAway('hangs.stored.example');
    } finally {
      process.kill(fleet.redis.pid, 'SIGCONT');
    }
    await untilReady();
    await assertIssues('goes-on.plain.example');
  });

  test('full: roles and clients say so, and the order under way goes on when there is room, once', async () => {
    const refusal = 'Redis refuses to write: its memory is full (OOM)';
    const writers = [...fleet.all('intake'), ...fleet.all('worker')];
    const said = () => writers.flatMap(role => [told(role, /refuses to write/), told(role, /takes writes/)]);
    const before = said();
    const { csrPem } = await makeCsr({ names: ['full.plain.example'] });
    const orders = fleet.orders();
    const pending = fleet.ca.playPending();
    const post = fleet.post(csrPem);
    await pending.hit();
    await fleet.redisClient.config('SET', 'maxmemory', '1');
    for (const role of writers) {
      const { status, body } = await readiness(role);
      assert.equal(status, 503);
      assert.ok(body.includes(`: ${refusal}\n`), body);
    }
    for (const role of fleet.all('responder')) assert.equal((await readiness(role)).status, 200);
    const { csrPem: another } = await makeCsr({ names: ['too-late.plain.example'] });
    const { status, headers, body } = await fleet.post(another);
    assert.deepEqual([status, body], [503, `${refusal}\n`]);
    assert.ok(Number(headers['retry-after']) > 0);
    pending.remove();
    await fleet.redisClient.config('SET', 'maxmemory', '0');
    const answer = await post;
    assert.equal(answer.status, 200, answer.body);
    assert.equal(fleet.orders(), orders + 1);
    await untilReady();
    assert.deepEqual(
      said(),
      before.map(count => count + 1),
      'each is logged once',
    );
  });

  test('that nothing is heard of, though no connection ends: not ready, until connections are made anew', async () => {
    await using proxy = await startRedisProxy(fleet.redis.port);
    const roles = await Promise.all(
      (['intake', 'worker', 'responder'] as const).map(role => fleet.start(role, { redisUrl: proxy.url })),
    );
    proxy.goSilent();
    const untilNotReady = (role: RoleProcess) =>
      waitUntil('the role not to be ready', async () => (await readiness(role)).status === 503);
    await Promise.all(roles.map(untilNotReady));
    await untilReady(roles);
    const { csrPem } = await makeCsr({ names: ['heard-again.plain.example'] });
    const { status, body } = await fleet.post(csrPem, { to: roles[0] });
    assert.equal(status, 200, body);
    for (const role of roles) assert.equal(await role.stop(), 0);
  });

  test('restarts in the middle of an order: its client gets the certificate, by one newOrder', async () => {
    const { csrPem } = await makeCsr({ names: ['middle.plain.example'] });
    const orders = fleet.orders();
    const pending = fleet.ca.playPending();
    const post = fleet.post(csrPem);
    await pending.hit();
    await fleet.redis.kill();
    await fleet.redis.restart();
    pending.remove();
    const { status, body } = await post;
    assert.equal(status, 200, body);
    assert.equal(fleet.orders(), orders + 1);
  });
});

suite('the CA', () => {
  test('away in the middle of an order: the client waits, and gets its certificate by the same order', async () => {
    const { csrPem } = await makeCsr({ names: ['ca-away.plain.example'] });
    const orders = fleet.orders();
    const pending = fleet.ca.playPending();
    const post = fleet.post(csrPem);
    await pending.hit();
    await fleet.ca.goDown();
    pending.remove();
    const worker = fleet.all('worker')[0];
    await waitUntil('a step to fail', () => worker !== undefined && told(worker, /step failed/) > 0);
    await fleet.ca.comeBack();
    const { status, body } = await post;
    assert.equal(status, 200, body);
    assert.equal(fleet.orders(), orders + 1);
  });
});
