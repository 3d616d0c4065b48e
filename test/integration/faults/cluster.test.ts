import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startFleet } from '../../support/fleet.ts';
import { startRedisCluster } from '../../support/redis-cluster.ts';
import { untilIdle } from './orders.ts';
import { startPatientClients } from './patient-clients.ts';

const redis = await startRedisCluster({ replicas: true, users: true });
const fleet = await startFleet({
  roles: ['intake', 'intake', 'worker', 'worker', 'responder'],
  servers: redis,
});
after(async () => {
  await fleet[Symbol.asyncDispose]();
  await redis[Symbol.asyncDispose]();
});

const prefix = '{quarry}';

test('posts have certificates though the node with all keys is killed, and their slot moves away', async t => {
  const killed = await startPatientClients(fleet, { posts: 40, atOnce: 8, domain: 'killed.example' });
  await killed.untilIssued(10);
  const first = await redis.masterOf(prefix);
  await first.kill();
  const replica = await redis.untilOtherThan(first, prefix);
  assert.ok(redis.nodes.indexOf(replica) >= 3, 'a replica has taken its place');
  const afterKill = await killed.finish();

  const moved = await startPatientClients(fleet, { posts: 40, atOnce: 8, domain: 'moved.example' });
  await moved.untilIssued(10);
  const other = redis.nodes.slice(0, 3).find(node => node !== first);
  assert.ok(other);
  await redis.moveSlot(prefix, other, 2);
  assert.equal(await redis.masterOf(prefix), other);
  assert.equal(await moved.finish(), 0, 'moving a slot loses nothing');

  t.diagnostic(`orders in vain: ${afterKill} by the kill; answered 503: ${killed.refused}, ${moved.refused}`);
  for (const worker of fleet.all('worker')) await untilIdle(worker);
});
