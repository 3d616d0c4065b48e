import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { makeCsr } from '../../soak/csrs.ts';
import { assertChain } from '../../support/chain.ts';
import { type RoleProcess, startFleet } from '../../support/fleet.ts';
import { startRedisSentinels } from '../../support/redis-sentinel.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { sent, untilIdle } from './orders.ts';
import { startPatientClients } from './patient-clients.ts';

const redis = await startRedisSentinels({ users: true });
const fleet = await startFleet({
  roles: ['intake', 'intake', 'worker', 'worker', 'responder'],
  servers: redis,
});
after(async () => {
  await fleet[Symbol.asyncDispose]();
  await redis[Symbol.asyncDispose]();
});

test('200 posts have their certificates though the master is killed, demoted and frozen, and wakes up again', async t => {
  const [first, second] = redis.nodes;
  assert.ok(first && second);
  const t0 = performance.now();
  const d = (x: string) =>
    t.diagnostic(
      `${x} ${((performance.now() - t0) / 1000).toFixed(1)} excess ${clients.newOrders().filter(n => n > 1).length} refused ${clients.refused}`,
    );
  const clients = await startPatientClients(fleet, { posts: 200, atOnce: 8, domain: 'sentinel.example' });
  d('start');
  await clients.untilIssued(20);
  d('20');
  await first.kill();
  assert.equal(await redis.untilOtherThan(first), second);
  await first.restart();
  await redis.rejoin(first);
  d('rejoined');

  await clients.untilIssued(70);
  d('70');
  assert.equal(await redis.demote(), first);
  d('demoted');
  await clients.untilIssued(120);
  d('120');
  await redis.untilInStep();
  d('in step');

  first.freeze();
  assert.equal(await redis.untilOtherThan(first), second);
  d('other');
  first.thaw();
  await clients.finish();
  d('finish');
  t.diagnostic(`${clients.newOrders()}`);
});
