import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openFleetRedis } from '../../services/cli/fleet-redis.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import type { RedisPlace } from '../../shared/base/redis-address.ts';
import { addressFor, findPlace } from '../../shared/config/redis-access.ts';
import { rightsOf, sentinelAclWords, toAclWords } from '../../shared/setup/redis-acl.ts';
import { lookAtRedis } from '../../shared/setup/redis-fitness.ts';
import { explainUnreached } from '../../shared/setup/redis-unreached.ts';
import { account, auth, loadText } from '../shared/setup/load-text.ts';
import { issueCertificate, serverExtensions } from '../support/certificates.ts';
import { freePort } from '../support/free-port.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { startRedisCluster } from '../support/redis-cluster.ts';
import { askNode } from '../support/redis-nodes.ts';
import { startRedisSentinels } from '../support/redis-sentinel.ts';
import { tempDir } from '../support/temp-dir.ts';
import { tlsAuthority } from '../support/tls-authority.ts';

// What is written in [redis], looked at as a role does before it starts.

const stack = new AsyncDisposableStack();
after(() => stack.disposeAsync());

const dir = stack.use(await tempDir());
const [sentinels, cluster, alone] = await Promise.all([
  startRedisSentinels({ replicas: 0 }),
  startRedisCluster(),
  startRedis(),
]);
for (const one of [sentinels, cluster, alone]) stack.use(one);
const [, master = ''] = /^sentinel-master = (.*)$/m.exec(sentinels.lines) ?? [];
const [, sentinel = ''] = /^sentinel = (.*)$/m.exec(sentinels.lines) ?? [];
const [node] = cluster.nodes;
const nodeAt = `127.0.0.1:${node?.port}`;
const aloneAt = `127.0.0.1:${alone.port}`;
const away = `127.0.0.1:${await freePort()}`;

async function read(lines: string, role: 'worker' | 'responder') {
  const config = await loadText(`${account}${auth}[redis]\n${lines}`);
  const address = addressFor(role, findPlace(config.redis) as RedisPlace, config.redis);
  return { address, rights: rightsOf(role, config), config };
}

async function look(lines: string, role: 'worker' | 'responder' = 'worker') {
  const { address, rights } = await read(lines, role);
  return lookAtRedis(role, address, rights);
}

/** What `look` says once no connection has come about, for which a Redis without TLS lets one wait. */
const explain = async (lines: string) => explainUnreached('worker', (await read(lines, 'worker')).address);

async function faultOf(lines: string): Promise<string> {
  const fitness = await look(lines);
  return fitness.state === 'unfit' ? fitness.fault : fitness.state;
}

for (const role of ['worker', 'responder'] as const)
  test(`a ${role} finds its Redis by Sentinels and by nodes of a cluster, whichever of them are away`, async () => {
    const fit = { state: 'fit' };
    const masterLine = `sentinel-master = ${master}`;
    assert.deepEqual(await look(`sentinel = ${away}\nsentinel = ${sentinel}\n${masterLine}`, role), fit);
    for (const { port } of cluster.nodes)
      assert.deepEqual(await look(`cluster = ${away}\ncluster = 127.0.0.1:${port}`, role), fit);
  });

test('Sentinels and nodes that are away are waited for', async () => {
  assert.equal(await faultOf(`sentinel = ${away}`), 'away');
  assert.equal(await faultOf(`cluster = ${away}`), 'away');
});

test('what is written for another kind of Redis is told, with what to write', async () => {
  const told: [lines: string, said: string][] = [
    [
      `url = redis://${sentinel}`,
      `Redis at ${sentinel} is a Sentinel: write sentinel = ${sentinel} in place of url`,
    ],
    [
      `url = redis://${nodeAt}`,
      `Redis at ${nodeAt} is a node of a cluster: write cluster = ${nodeAt} in place of url`,
    ],
    [
      `sentinel = ${aloneAt}`,
      `${aloneAt} is a Redis and no Sentinel: write url = redis://${aloneAt}, or the port of a Sentinel`,
    ],
    [
      `sentinel = ${sentinel}`,
      `the Sentinel at ${sentinel} knows no master "mymaster": write sentinel-master = ${master}`,
    ],
    [`cluster = ${aloneAt}`, `Redis at ${aloneAt} is no node of a cluster: write url = redis://${aloneAt}`],
    [`cluster = ${sentinel}`, `${sentinel} is a Sentinel: write sentinel = ${sentinel}`],
  ];
  for (const [lines, said] of told) assert.equal(await faultOf(lines), said);
});

test("an operator's command finds the Redis of its fleet, and tells what is written wrong", async () => {
  const file = join(dir.path, 'main.ini');
  const open = async (lines: string) => {
    await writeFile(file, `${account}${auth}[redis]\n${lines}\n`);
    using fleet = await openFleetRedis([file], {});
    return fleet.store.redis.ping();
  };
  assert.equal(await open(sentinels.lines), 'PONG');
  assert.equal(await open(cluster.lines), 'PONG');
  const message = `Redis at ${aloneAt} is no node of a cluster: write url = redis://${aloneAt}`;
  await assert.rejects(open(`cluster = ${aloneAt}`), { message });
});

test('a login that is wrong is told, of Redis and of what leads there', async () => {
  const [right, wrong] = [join(dir.path, 'right'), join(dir.path, 'wrong')];
  await writeFile(right, 'right');
  await writeFile(wrong, 'wrong');
  await using closed = await startRedis({ settings: { requirepass: 'right' } });
  const at = `127.0.0.1:${closed.port}`;
  const refused = `Redis at ${at} does not let the worker in`;
  assert.equal(
    await faultOf(`url = redis://${at}`),
    `${refused} (NOAUTH): set password (or password-file) in [redis]`,
  );
  assert.equal(
    await faultOf(`url = redis://${at}\npassword-file = ${wrong}`),
    `${refused} (WRONGPASS): correct user and password (or password-file) in [redis]`,
  );
  assert.equal(await faultOf(`url = redis://${at}\npassword-file = ${right}`), 'fit');
  assert.equal(
    await faultOf(`cluster = ${at}`),
    `${refused} (NOAUTH): set password (or password-file) in [redis]`,
  );
  const byUser = `sentinel = ${at}\nsentinel-user = watcher\nsentinel-password-file = ${wrong}`;
  const there = `the Sentinel at ${at} does not let Quarry in (WRONGPASS): correct user and `;
  assert.equal(await faultOf(byUser), `${there}sentinel-password (or sentinel-password-file) in [redis]`);
});

test('the users that quarry redis-acl prints find their Redis, by Sentinels and in a cluster', async () => {
  const file = join(dir.path, 'of-users');
  await writeFile(file, 'word');
  const login = `user = quarry-role\npassword-file = ${file}`;
  const bySentinel = `sentinel = ${sentinel}\nsentinel-master = ${master}\n${login}`;
  const ways = {
    sentinel: `${bySentinel}\nsentinel-user = watcher\nsentinel-password-file = ${file}`,
    cluster: `cluster = ${nodeAt}\n${login}`,
  };
  await askNode(Number(sentinel.split(':')[1]), redis =>
    redis.call('acl', 'setuser', 'watcher', 'on', '>word', ...sentinelAclWords),
  );
  for (const [way, servers] of [
    ['sentinel', sentinels.nodes],
    ['cluster', cluster.nodes],
  ] as const)
    for (const role of ['worker', 'responder'] as const) {
      const { address, rights, config } = await read(ways[way], role);
      const allow = (words: string[]) =>
        Promise.all(
          servers.map(({ port }) =>
            askNode(port, redis =>
              redis.call('acl', 'setuser', 'quarry-role', 'reset', 'on', '>word', ...words),
            ),
          ),
        );
      await allow(toAclWords(role, rights, config.redis));
      assert.deepEqual(await lookAtRedis(role, address, rights), { state: 'fit' });
      const redis = openRedis(address, 'patient', quietLog, { enableReadyCheck: role === 'worker' });
      await redis.mget('{quarry}:http-01:none');
      closeRedis(redis);
      if (way === 'sentinel') continue;
      await allow(toAclWords(role, rights));
      const said =
        /does not allow this user \+cluster\|slots: give it the rights that quarry redis-acl prints$/;
      assert.match(await faultOf(ways.cluster), said);
    }
});

test('TLS that is written where there is none, or the other way round, is told, and so is a certificate', async () => {
  const { caFile, certFile, keyFile } = await tlsAuthority();
  const port = await freePort();
  const tls = { 'tls-cert-file': certFile, 'tls-key-file': keyFile, 'tls-ca-cert-file': caFile };
  await using _ = await startRedis({
    settings: { ...tls, bind: '127.0.0.1 127.0.0.2', 'tls-port': `${port}` },
  });
  const at = `127.0.0.1:${port}`;
  const trusted = `ca-file = ${caFile}`;
  const shown = `${trusted}\ntls-cert = ${certFile}\ntls-key = ${keyFile}`;
  assert.equal(await faultOf(`url = rediss://${at}\n${shown}`), 'fit');
  assert.equal(
    await faultOf(`url = redis://${at}`),
    `Redis at ${at} speaks only TLS: write url = rediss://…`,
  );
  assert.equal(await faultOf(`cluster = ${at}`), `Redis at ${at} speaks only TLS: write tls = yes`);
  assert.equal(
    await faultOf(`sentinel = ${at}`),
    `the Sentinel at ${at} speaks only TLS: write sentinel-tls = yes`,
  );
  assert.match(
    await faultOf(`url = rediss://${at}`),
    /^Redis at \S+ has a certificate that is not trusted \(.+\): name its CA in ca-file$/,
  );
  assert.equal(
    await faultOf(`url = rediss://${at}\n${trusted}`),
    `Redis at ${at} wants a certificate from Quarry: write tls-cert and tls-key`,
  );
  const stranger = await issueCertificate({ extensions: serverExtensions('client.example') });
  const another = `tls-cert = ${stranger.certFile}\ntls-key = ${stranger.keyFile}`;
  assert.equal(
    await faultOf(`url = rediss://${at}\n${trusted}\n${another}`),
    `Redis at ${at} does not accept the certificate in tls-cert: unknown ca`,
  );
  assert.match(
    await faultOf(`url = rediss://127.0.0.2:${port}\n${shown}`),
    /^Redis at \S+ has a certificate for other names: .*127\.0\.0\.1/,
  );
  assert.equal(
    await faultOf(`url = rediss://${aloneAt}`),
    `Redis at ${aloneAt} speaks no TLS: write url = redis://…`,
  );
  assert.equal(
    await explain(`cluster = ${nodeAt}\ntls = yes`),
    `Redis at ${nodeAt} speaks no TLS: write tls = no`,
  );
  assert.equal(
    await explain(`sentinel = ${sentinel}\nsentinel-tls = yes`),
    `the Sentinel at ${sentinel} speaks no TLS: write sentinel-tls = no`,
  );
  assert.equal(
    await explain(`sentinel = ${sentinel}\nsentinel-master = ${master}\ntls = yes\nsentinel-tls = no`),
    `Redis at 127.0.0.1:${sentinels.nodes[0]?.port} speaks no TLS: write tls = no`,
  );
});
