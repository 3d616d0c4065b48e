import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, ask } from '../../support/ask.ts';
import { assertChain } from '../../support/chain.ts';
import { makeCsr } from '../../support/csr.ts';
import { type Fleet, type RoleProcess, startFleet } from '../../support/fleet.ts';
import { startRedisProxy } from '../../support/redis-proxy.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { assertIssued, post, postEach, presented, sent, told, untilIdle } from './orders.ts';

const everyRole = (fleet: Fleet) =>
  (['intake', 'worker', 'responder'] as const).flatMap(role => fleet.all(role));
const isReady = async (role: RoleProcess) => (await ask(`${role.adminUrl}/readyz`)).status === 200;

async function untilAllReady(roles: RoleProcess[]): Promise<void> {
  const ready = async () => (await Promise.all(roles.map(isReady))).every(Boolean);
  await waitUntil('all roles to be ready', ready);
}

function assertComeBack({ status, headers, body }: Answer): void {
  assert.equal(status, 503, body);
  assert.match(body, /^[^\n]+\n$/);
  assert.ok(Number(headers['retry-after']) > 0);
}

/** Milliseconds, of the six seconds for which responders ask a Redis that is away. */
const AWAY = 3_000;

suite('Redis', { concurrency: true }, () => {
  test('killed twice under load loses no post: each has a certificate, or a clean 503 and one when sent again', async t => {
    await using fleet = await startFleet({ roles: ['intake', 'intake', 'worker', 'worker', 'responder'] });
    const roles = everyRole(fleet);
    const names = Array.from({ length: 48 }, (_, index) => `h${index}.load.example`);
    const csrs = await Promise.all(names.map(name => makeCsr({ names: [name] })));
    const waiting = [...csrs.entries()];
    const refused: Answer[] = [];
    const issued: string[] = [];
    let inFlight = 0;

    /** Sends one CSR again and again, as a patient host does, until it has a certificate. */
    async function send(csrPem: string, to: RoleProcess | undefined): Promise<string> {
      for (let attempt = 0; attempt < 10; attempt++) {
        inFlight++;
        const answer = await fleet.post(csrPem, { to }).finally(() => inFlight--);
        if (answer.status === 200) return answer.body;
        assertComeBack(answer);
        refused.push(answer);
        await waitUntil('the intake to be ready', () => to !== undefined && isReady(to));
      }
      throw new Error('no certificate after ten posts');
    }
    const client = async (to: RoleProcess | undefined) => {
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        const [index, { csrPem }] = next;
        issued[index] = await send(csrPem, to);
      }
    };
    const enough = (count: number) =>
      waitUntil(`${count} certificates`, () => Object.keys(issued).length >= count);

    const clients = Promise.all(
      Array.from({ length: 10 }, (_, index) => client(fleet.all('intake')[index % 2])),
    );
    clients.catch(() => {}); // it is waited for below
    await enough(8);
    assert.ok(inFlight > 0);
    await fleet.redis.kill();
    assertComeBack(await fleet.post(csrs.at(-1)?.csrPem ?? ''));
    await fleet.redis.restart();
    await untilAllReady(roles);
    await enough(24);
    assert.ok(inFlight > 0);
    await fleet.redis.kill();
    await fleet.redis.restart();
    await clients;

    const rootPem = await fleet.pebble.rootPem();
    for (const [index, { keyPem }] of csrs.entries()) {
      assertChain(issued[index] ?? '', { names: [names[index] ?? ''], keyPem, rootPem });
    }
    const orders = names.map(name => sent(fleet.ca, name, 'newOrder').length);
    t.diagnostic(
      `${refused.length} posts were answered 503; ${fleet.ca.counts().newOrder} newOrders for 48 certificates`,
    );
    assert.ok(
      orders.every(count => count >= 1 && count <= 2),
      `newOrders: ${orders}`,
    );
    await untilAllReady(roles);
    assert.deepEqual(everyRole(fleet), roles, 'no role has ended');
    for (const worker of fleet.all('worker')) await untilIdle(worker);
    assert.deepEqual(await presented(fleet), []);
  });

  test('killed just when the CA looks at the challenges, and back soon, costs no order: responders outlast it', async () => {
    await using fleet = await startFleet();
    /** Whether Redis was back in time: a busy machine may start it later than responders wait for it. */
    async function outlasts(names: string[]): Promise<boolean> {
      fleet.front.hold();
      const posts = await postEach(fleet, names);
      await waitUntil('the CA to ask for both tokens', () => fleet.front.waitingFor.size === 2);
      const before = fleet.front.asked.length;
      await fleet.redis.kill();
      fleet.front.release();
      await waitUntil('the responder to be asked', () => fleet.front.waiting === 0);
      await sleep(AWAY);
      await fleet.redis.restart();
      await assertIssued(fleet, posts);
      const answers = fleet.front.asked.slice(before).flatMap(one => one.answers);
      if (answers.some(({ status }) => status === 503)) return false;
      for (const name of names) assert.equal(sent(fleet.ca, name, 'newOrder').length, 1, name);
      return true;
    }
    let outlasted = false;
    for (let tries = 0; tries < 5 && !outlasted; tries++)
      outlasted = await outlasts([`look1.try${tries}.example`, `look2.try${tries}.example`]);
    assert.ok(outlasted, 'responders wait for Redis');
  });

  test('killed just when the CA looks, and away for longer than responders wait, costs an order, but no client an error', async () => {
    await using fleet = await startFleet();
    fleet.front.hold();
    const names = ['long1.example', 'long2.example'];
    const posts = await postEach(fleet, names);
    await waitUntil('the CA to ask for both tokens', () => fleet.front.waitingFor.size === 2);
    await fleet.redis.kill();
    fleet.front.release();
    const both = () => {
      const failed = fleet.front.asked.filter(one => one.answers.some(({ status }) => status === 503));
      return new Set(failed.map(({ path }) => path)).size === 2;
    };
    await waitUntil('the CA to be answered 503 for both', both); // six seconds, and those of a loaded machine
    await fleet.redis.restart();
    await assertIssued(fleet, posts);
    for (const name of names) assert.equal(sent(fleet.ca, name, 'newOrder').length, 2, name);
    assert.deepEqual(await fleet.redisClient.keys('{quarry}:limit:failures/*'), []);
    assert.deepEqual(await presented(fleet), []);
  });

  test('whose connections all go silent, and which loses its scripts, is connected to anew by every role, and the order under way goes on, once', async () => {
    await using fleet = await startFleet({ roles: [] });
    await using proxy = await startRedisProxy(fleet.redis.port);
    const parts = ['intake', 'worker', 'responder'] as const;
    const roles = await Promise.all(parts.map(role => fleet.start(role, { redisUrl: proxy.url })));
    // The proxy is in this process, which may be too busy for the first commands of an intake.
    const issues = async () => (await (await post(fleet, ['warm.example'])).answer).status === 200;
    await waitUntil('a first certificate', issues);
    const pending = fleet.ca.playPending();
    const posted = await post(fleet, ['silent.example']);
    const tooSoon = posted.answer.then(({ status, body }) => assert.fail(`${status}: ${body}`));
    tooSoon.catch(() => {}); // after the silence it is as it should be
    await Promise.race([pending.hit(), tooSoon]);
    proxy.goSilent();
    for (const role of roles) {
      const { status, body } = await ask(`${role.adminUrl}/readyz`);
      assert.equal(status, 503);
      assert.match(body, /: Redis (does not answer|cannot be reached)/);
    }
    await fleet.redisClient.script('FLUSH');
    pending.remove();
    await assertIssued(fleet, [posted]);
    assert.equal(sent(fleet.ca, 'silent.example', 'newOrder').length, 1);
    await untilAllReady(roles);
    await assertIssued(fleet, [await post(fleet, ['heard.example'])]);
  });

  test('emptied in the middle crashes nobody: waiting clients are told before their wait ends, files still answer, and new posts work', async () => {
    await using storage = await tempDir();
    await using fleet = await startFleet({
      roles: ['intake', 'worker', 'worker', 'responder'],
      mgmt: 'wait = 3600', // longer than a test may take
      blocks: `[storage "file"]
type = file
directory = ${storage.path}
[storage "none"]
type = none
[auth "kept"]
all = yes
domain = *.kept.example
storage = file
[auth "plain"]
all = yes
domain = *.plain.example
storage = none
`,
    });
    const roles = everyRole(fleet);
    const kept = await post(fleet, ['www.kept.example']);
    await assertIssued(fleet, [kept]);

    const pending = fleet.ca.playPending();
    const names = ['a.plain.example', 'b.plain.example', 'new.kept.example'];
    const posts = await postEach(fleet, names);
    const challenges = () => names.flatMap(name => sent(fleet.ca, name, 'challenge'));
    await waitUntil(
      'all to be validated',
      () => challenges().filter(({ status }) => status === 200).length === 3,
    );

    await fleet.redisClient.flushall();
    for (const { answer } of posts) assertComeBack(await answer);

    const { newOrder } = fleet.ca.counts();
    assert.equal((await fleet.post(kept.csrPem)).body, (await kept.answer).body);
    assert.equal(fleet.ca.counts().newOrder, newOrder);
    pending.remove();
    for (const worker of fleet.all('worker')) await untilIdle(worker);
    const again = posts.map(one => ({ ...one, answer: fleet.post(one.csrPem) }));
    await assertIssued(fleet, [...again, await post(fleet, ['c.plain.example'])]);
    await untilAllReady(roles);
    assert.deepEqual(everyRole(fleet), roles, 'no role has ended');
    const bugs = roles.flatMap(role => told(role, 'bug in a sign job'));
    assert.deepEqual(bugs, []);
  });
});
