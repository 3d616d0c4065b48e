import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Account, openAccounts } from '../../shared/acme-server/accounts.ts';
import { openNonces } from '../../shared/acme-server/nonces.ts';
import { openOrders } from '../../shared/acme-server/orders.ts';
import { systemClock } from '../../shared/base/basics.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import type { RedisPlace } from '../../shared/base/redis-address.ts';
import { addressFor, findPlace } from '../../shared/config/redis-access.ts';
import { rightsOf, toAclWords } from '../../shared/setup/redis-acl.ts';
import { orderRecord } from '../shared/acme-server/order-record.ts';
import { account, auth, loadText } from '../shared/setup/load-text.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedisCluster } from '../support/redis-cluster.ts';
import { askNode } from '../support/redis-nodes.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testSeals } from '../support/test-seals.ts';

test("what ACME clients have is in one slot of a cluster, and the intake's rights are enough for it", async () => {
  await using stack = new AsyncDisposableStack();
  const [dir, cluster] = [stack.use(await tempDir()), stack.use(await startRedisCluster())];
  const file = join(dir.path, 'password');
  await writeFile(file, 'word');
  const login = `user = quarry-intake\npassword-file = ${file}`;
  const config = await loadText(`${account}${auth}[redis]\n${cluster.lines}\n${login}`);
  const words = toAclWords('intake', rightsOf('intake', config), config.redis);
  for (const { port } of cluster.nodes)
    await askNode(port, redis =>
      redis.call('acl', 'setuser', 'quarry-intake', 'reset', 'on', '>word', ...words),
    );
  const address = addressFor('intake', findPlace(config.redis) as RedisPlace, config.redis);
  const redis = openRedis(address, 'patient', quietLog);
  stack.defer(() => closeRedis(redis));

  const store = { redis, prefix: '{quarry}' };
  const [accounts, orders] = [
    openAccounts(store, testSeals, systemClock),
    openOrders(store, testSeals, systemClock),
  ];
  const client: Account = {
    ...{ id: 'account-1', thumbprint: 'first', contacts: [], created: 0, client: '192.0.2.7' },
    ...{ key: { kty: 'OKP', crv: 'Ed25519', x: 'x' }, status: 'valid' },
  };
  const told = { at: systemClock.now(), event: 'account-made', detail: 'of a test' } as const;
  assert.equal(await accounts.create(client, told), true);
  const made = await accounts.read('account-1');
  assert.ok(made);
  const turned = { ...made.account, thumbprint: 'second' };
  assert.equal(await accounts.changeKey(made, turned, told), 'changed');
  assert.equal((await accounts.findByKey('second'))?.account.id, 'account-1');

  assert.equal(await orders.create(orderRecord({ created: systemClock.now() })), undefined);
  const kept = await orders.read('order-1');
  assert.ok(kept);
  const bound = await orders.replace(kept, { ...kept.order, status: 'processing', job: 'job-1' });
  assert.ok(bound);
  const times = { notBefore: systemClock.now(), notAfter: systemClock.now() + 90 * 86_400_000 };
  const certificate = {
    ...{ fingerprint: 'ab'.repeat(32), renewalId: 'aki.serial', chain: 'a chain', account: 'account-1' },
    ...{ order: 'order-1', block: 'web', names: ['a.example'], ...times },
  };
  assert.ok(await orders.end(bound, { order: { ...bound.order, status: 'valid' }, certificate }));
  assert.deepEqual(await orders.list('account-1'), { ids: ['order-1'] });
  const nonces = openNonces(store, testSeals, systemClock);
  const [record] = await nonces.spend(nonces.make(), [accounts.key('account-1')]);
  assert.ok(record);
});
