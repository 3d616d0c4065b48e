import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { startRedisCluster } from '../support/redis-cluster.ts';
import { askNode } from '../support/redis-nodes.ts';
import { startRedisSentinels } from '../support/redis-sentinel.ts';

// What the tests of fail-overs stand on.

suite('startRedisSentinels()', { concurrency: true }, () => {
  test('has a frozen master replaced, and a demoted one, and neither loses what was written before', async () => {
    await using redis = await startRedisSentinels();
    const [first, second] = redis.nodes;
    assert.ok(first && second);
    assert.equal(await redis.master(), first);
    await askNode(first.port, node => node.set('kept', '1'));
    await redis.untilInStep();
    first.freeze();
    assert.equal(await redis.untilOtherThan(first), second);
    assert.equal(await askNode(second.port, node => node.incr('kept')), 2);
    first.thaw();
    assert.equal(await askNode(first.port, node => node.incr('kept')), 2, 'it takes itself for the master');
    await redis.rejoin(first);
    assert.equal(await redis.demote(), first);
    assert.equal(await askNode(first.port, node => node.incr('kept')), 3);
  });
});

suite('startRedisCluster()', { concurrency: true }, () => {
  test('has a replica take over from a killed master, and moves a slot with its keys', async () => {
    await using redis = await startRedisCluster({ replicas: true });
    const keys = ['{kept}:1', '{kept}:2', '{kept}:3'];
    const master = await redis.masterOf('{kept}');
    const at = redis.nodes.indexOf(master);
    await askNode(master.port, node => node.mset(...keys.flatMap(key => [key, 'text'])));
    await askNode(master.port, node => node.wait(1, 0));
    await master.kill();
    const next = await redis.untilOtherThan(master, '{kept}');
    assert.equal(next, redis.nodes[at + 3]);
    assert.deepEqual(await askNode(next.port, node => node.mget(...keys)), ['text', 'text', 'text']);

    const other = redis.nodes[(at + 1) % 3];
    assert.ok(other);
    await redis.moveSlot('{kept}', other);
    assert.equal(await redis.masterOf('{kept}'), other);
    assert.deepEqual(await askNode(other.port, node => node.mget(...keys)), ['text', 'text', 'text']);
    await assert.rejects(
      askNode(next.port, node => node.mget(...keys)),
      { message: new RegExp(`^MOVED \\d+ 127\\.0\\.0\\.1:${other.port}$`) },
    );
  });
});
