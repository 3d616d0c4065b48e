import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { ask } from '../../support/ask.ts';
import { type RoleProcess, startFleet } from '../../support/fleet.ts';
import type { Redis } from '../../support/redis.ts';
import { askNode } from '../../support/redis-nodes.ts';
import { startRedisSentinels } from '../../support/redis-sentinel.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { untilIdle } from './orders.ts';
import { startPatientClients } from './patient-clients.ts';

// A fail-over may lose what the old master had answered before its successor knew of it: the window of lost
// writes. What it costs is an order more for those that were under way; everything else is as if nothing had
// happened.

const redis = await startRedisSentinels({ users: true });
const fleet = await startFleet({
  roles: ['intake', 'intake', 'worker', 'worker', 'responder'],
  servers: redis,
});
after(async () => {
  await fleet[Symbol.asyncDispose]();
  await redis[Symbol.asyncDispose]();
});
const everyRole = () => (['intake', 'worker', 'responder'] as const).flatMap(role => fleet.all(role));
const roles = everyRole();
const [first, second] = redis.nodes as [Redis, Redis];

const post = (domain: string, posts: number) => startPatientClients(fleet, { posts, atOnce: 8, domain });

/** With 1, a master that no replica follows takes no writes: no window. */
const wantReplicas = (count: number) =>
  Promise.all(
    redis.nodes.map(({ port }) => askNode(port, node => node.config('SET', 'min-replicas-to-write', count))),
  );

async function untilAllReady(): Promise<void> {
  const isReady = async (role: RoleProcess) => (await ask(`${role.adminUrl}/readyz`)).status === 200;
  await waitUntil('all roles to be ready', async () =>
    (await Promise.all(roles.map(isReady))).every(Boolean),
  );
}

/** Waits until no role is connected any more to one that was the master, or until it has become a replica. */
async function assertLeft({ port }: Redis): Promise<void> {
  let role: unknown;
  await waitUntil('the old master to be left', async () => {
    const clients = await askNode(port, node => node.client('LIST') as Promise<string>);
    [role] = (await askNode(port, node => node.role())) as unknown[];
    return !/ user=quarry-/.test(clients) || role !== 'master';
  });
  assert.equal(role, 'master', 'it is left while it still takes writes, which are lost');
}

/** How long each challenge response will live, in milliseconds. */
const remaining = ({ port }: Redis) =>
  askNode(port, async node =>
    Promise.all((await node.keys('{quarry}:http-01:*')).map(key => node.pttl(key))),
  );

test('200 posts have certificates though the master is killed, demoted and frozen, and wakes up again', async t => {
  const killed = await post('killed.example', 50);
  await killed.untilIssued(10);
  await first.kill();
  assert.equal(await redis.untilOtherThan(first), second);
  await first.restart();
  await redis.rejoin(first);
  const afterKill = await killed.finish();

  const demoted = await post('demoted.example', 50);
  await demoted.untilIssued(10);
  assert.equal(await redis.demote(), first);
  await assertLeft(second);
  await redis.rejoin(second);
  const afterDemotion = await demoted.finish();

  await wantReplicas(1);
  const fenced = await post('fenced.example', 50);
  await fenced.untilIssued(10);
  assert.equal(await redis.demote(), second);
  await assertLeft(first);
  await redis.rejoin(first);
  assert.equal(await fenced.finish(), 0, 'no write is lost');
  await wantReplicas(0);

  const frozen = await post('frozen.example', 50);
  await frozen.untilIssued(10);
  second.freeze();
  assert.equal(await redis.untilOtherThan(second), first);
  second.thaw();
  await assertLeft(second);
  const afterFreeze = await frozen.finish();

  t.diagnostic(
    `orders in vain: ${afterKill} by the kill, ${afterDemotion} by the demotion, ${afterFreeze} by the freeze`,
  );
  const answered = [killed, demoted, fenced, frozen].map(({ refused }) => refused);
  t.diagnostic(`posts answered 503: ${answered}`);
  await untilAllReady();
  assert.deepEqual(everyRole(), roles, 'no role has ended');
  for (const worker of fleet.all('worker')) await untilIdle(worker);
  // What a lost job had presented is withdrawn by nobody.
  assert.ok(
    (await remaining(first)).every(life => life > 0),
    'no challenge response is left for good',
  );
});
