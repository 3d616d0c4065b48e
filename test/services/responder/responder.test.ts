import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { Redis } from 'ioredis';
import { startResponder } from '../../../services/responder/responder.ts';
import { systemClock } from '../../../shared/base/basics.ts';
import { openMetrics } from '../../../shared/base/metrics.ts';
import { asking } from '../../../shared/dns/query.ts';
import { challengeKey } from '../../../shared/solver/http01.ts';
import { account, auth, loadText } from '../../shared/setup/load-text.ts';
import { ask } from '../../support/ask.ts';
import { freePort } from '../../support/free-port.ts';
import { keptLog } from '../../support/kept-log.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { startRedis } from '../../support/redis.ts';
import { turnedClock } from '../../support/turned-clock.ts';

const redis = await startRedis();
after(() => redis[Symbol.asyncDispose]());
const verification = (name: string, type: string, ...lines: string[]) =>
  `[verification "${name}"]\ntype = ${type}\n${lines.join('\n')}\n`;

async function start(blocks: string, log = quietLog, clock = systemClock, url = redis.url) {
  const [, first] = /"(\w+)"/.exec(blocks) ?? [];
  const config = await loadText(`${account}${auth}verification = ${first}\n${blocks}`);
  const metrics = openMetrics();
  return Object.assign(await startResponder(config, { redisAddress: { url }, clock, log, metrics }), {
    metrics,
  });
}

const http = verification('a', 'http01', 'listener = 127.0.0.1:0', 'self-check = off');
const dns = verification('b', 'dns01-server', 'listener = 127.0.0.1:0', 'ns = ns.example.org');
const tls = verification('c', 'tlsalpn01', 'listener = 127.0.0.1:0');
const elsewhere = verification('d', 'dns01-challtestsrv');

for (const [what, blocks, listening, figures] of [
  ['HTTP alone', http, 1, ['quarry_responder_answers_total']],
  [
    'DNS alone',
    dns + elsewhere,
    1,
    ['quarry_responder_dns_answers_total', 'quarry_responder_dns_limited_total'],
  ],
  ['TLS-ALPN alone', tls, 1, ['quarry_responder_tls_alpn_handshakes_total']],
  ['nothing where all is answered elsewhere', elsewhere, 0, []],
] as const)
  test(`startResponder() opens what the verifications need: ${what}`, async () => {
    const { log, lines } = keptLog();
    await using responder = await start(blocks, log);
    assert.equal(responder.addresses.length, listening);
    const own = (await responder.metrics.getMetricsAsJSON()).map(({ name }) => name);
    assert.deepEqual(
      own.filter(name => name.startsWith('quarry_responder_')),
      figures,
    );
    if (listening === 0)
      assert.ok(lines.some(({ msg }) => msg === 'no verification is answered by a responder'));
  });

test('startResponder() opens all kinds, and blocks of one kind that share an address once', async () => {
  const shared = ['e', 'f'].map(name => verification(name, 'tlsalpn01', 'listener = 127.0.0.1:0')).join('');
  await using responder = await start(http + dns + shared);
  assert.equal(responder.addresses.length, 3);
});

test('startResponder() lets go of what it has opened when another address is taken', async () => {
  await using first = await start(tls);
  const port = first.addresses[0]?.port;
  const again = http + verification('c', 'tlsalpn01', `listener = 127.0.0.1:${port}`);
  await assert.rejects(
    start(again),
    new RegExp(`^Error: \\[verification\\] listener: cannot listen on 127\\.0\\.0\\.1:${port}: .*EADDRINUSE`),
  );
});

test('a responder asks Redis once for a token that a CA fetches from all of its places', async () => {
  let now = 1_000_000;
  const [client, clock] = [new Redis(redis.url), { ...systemClock, now: () => now }];
  using _ = { [Symbol.dispose]: () => client.disconnect() };
  const key = challengeKey('{quarry}', 't'.repeat(43));
  await client.set(key, `${'t'.repeat(43)}.thumbprint`);
  await using responder = await start(http, quietLog, clock);
  const url = `http://127.0.0.1:${responder.addresses[0]?.port}/.well-known/acme-challenge/${'t'.repeat(43)}`;
  const fetchStatus = async () => (await ask(url)).status;
  assert.equal(await fetchStatus(), 200);
  await client.del(key);
  assert.deepEqual([await fetchStatus(), await fetchStatus()], [200, 200]);
  now += 3_000;
  assert.equal(await fetchStatus(), 404);
});

test('a responder asks a Redis that is away for six seconds before it tells the CA so', async () => {
  const clock = turnedClock(1_000_000);
  await using responder = await start(http, quietLog, clock, `redis://127.0.0.1:${await freePort()}`);
  const { port } = responder.addresses[0] ?? {};
  const url = `http://127.0.0.1:${port}/.well-known/acme-challenge/${'t'.repeat(43)}`;
  assert.equal((await ask(url)).status, 503);
  assert.equal(clock.now(), 1_006_000);
});

test('the zones of another configuration are answered for once it is taken over, on the same sockets', async () => {
  const zones = (...names: string[]) =>
    verification('b', 'dns01-server', 'listener = 127.0.0.1:0', ...names.map(name => `zone = ${name}`));
  await using responder = await start(zones('one.example', 'two.example'));
  const [at] = responder.addresses;
  assert.ok(at);
  const ask = asking(at, { recursive: false, timeout: 5_000 });
  const rcodes = () =>
    Promise.all(
      ['one.example', 'two.example', 'three.example'].map(
        async name => (await ask(name, 'SOA', AbortSignal.timeout(5_000))).rcode,
      ),
    );
  assert.deepEqual(await rcodes(), ['NOERROR', 'NOERROR', 'REFUSED']);
  const next = await loadText(`${account}${auth}verification = b\n${zones('three.example', 'two.example')}`);
  const take = await responder.prepare?.(next);
  assert.deepEqual(await rcodes(), ['NOERROR', 'NOERROR', 'REFUSED'], 'it is prepared, and not taken over');
  take?.();
  assert.deepEqual(await rcodes(), ['REFUSED', 'NOERROR', 'NOERROR']);
  const without = await loadText(`${account}${auth}verification = d\n${elsewhere}`);
  (await responder.prepare?.(without))?.();
  assert.deepEqual(await rcodes(), ['REFUSED', 'REFUSED', 'REFUSED']);
});

/** All that a file loads, at once or later: our files by their paths, packages by their names. */
function loadedBy(file: string, loaded = new Set<string>()): Set<string> {
  if (loaded.has(file)) return loaded;
  loaded.add(file);
  const text = readFileSync(file, 'utf8').replace(/^(import|export) type [^;]*;/gm, '');
  for (const [, next = ''] of text.matchAll(/(?:from|import|import\() ?'([^']+)'/g)) {
    if (next.startsWith('.') && next.endsWith('.ts')) loadedBy(join(dirname(file), next), loaded);
    else loaded.add(next);
  }
  return loaded;
}

test('a responder loads nothing that speaks with a CA, drives a queue or runs programs', () => {
  const folder = join(import.meta.dirname, '../../../services/responder');
  const loaded = loadedBy(join(folder, 'responder.ts'));
  assert.ok(loaded.has(join(folder, 'tls-alpn-server.ts')) && loaded.has('ioredis'), [...loaded].join());
  const forbidden = ['acme-client', 'bullmq', 'nodemailer', 'node:child_process'];
  assert.deepEqual(
    forbidden.filter(name => loaded.has(name)),
    [],
  );
});
