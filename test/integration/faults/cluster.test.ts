import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { Redis as RedisClient } from 'ioredis';
import { makeCsr } from '../../support/csr.ts';
import { listenForEvents } from '../../support/events.ts';
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

test('what goes on with an order is told to who listens at another intake, over whichever nodes', async t => {
  const { csrPem } = await makeCsr({ names: ['events.example'] });
  const pending = fleet.ca.playPending();
  const { headers } = await fleet.post(csrPem, { headers: { Prefer: 'respond-async' } });
  const { location = '' } = headers;
  const [, intake] = fleet.all('intake');
  const events = await listenForEvents(`${intake?.url}${location}`);
  await events.until('proving events.example');
  const last = redis.nodes.at(-1);
  const listener = new RedisClient(last?.url ?? '');
  t.after(() => listener.disconnect());
  const moved = once(listener, 'message');
  await listener.subscribe(`${prefix}:moves`);
  pending.remove();
  assert.deepEqual(await moved, [`${prefix}:moves`, location.replace('/sign/', '')]);
  assert.equal((await events.end).event, 'certificate');
});

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
