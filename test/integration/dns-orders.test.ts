import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, afterEach, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { startBind } from '../support/bind.ts';
import { assertChain } from '../support/chain.ts';
import { makeCsr } from '../support/csr.ts';
import { startFleet } from '../support/fleet.ts';
import { shownBlock } from '../support/pages.ts';
import { provision } from '../support/provision.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

// Whole orders: Pebble asks the very BIND that Quarry updates.

// The key as the page has an operator make it, in the one file that both sides read.
const { 'tsig-keygen': tsigKeygen } = await provision(['tsig-keygen']);
const made = await tempDir();
after(() => made[Symbol.asyncDispose]());
const env = { ...process.env, PATH: `${dirname(tsigKeygen)}:${process.env.PATH}` };
const makeKey = shownBlock('shared/solver/dns01-update.md', 'sh', 'tsig-keygen');
await promisify(execFile)('/bin/sh', ['-ec', makeKey], { cwd: made.path, env });
const keyText = await readFile(join(made.path, 'acme.key'), 'utf8');
const secret = /secret "([^"]+)"/.exec(keyText)?.[1] ?? assert.fail(keyText);
const key = { name: 'acme', algorithm: 'hmac-sha256', secret };
const hosts = [
  '',
  'one.',
  'two.',
  'down.',
  'lagging.',
  'impatient.',
  ...Array.from({ length: 10 }, (_, n) => `n${n}.`),
];
const bind = await startBind({
  resolves: true,
  keys: [key],
  zones: [
    {
      name: 'example.org',
      policy: hosts.map(host => `grant acme name _acme-challenge.${host}example.org. TXT`),
      records: ['_acme-challenge.moved CNAME moved.proofs.example.'],
    },
    { name: 'proofs.example', policy: ['grant acme name moved.proofs.example. TXT'] },
    { name: 'macen.example', allowUpdate: '127.0.0.1' },
  ],
});
after(() => bind[Symbol.asyncDispose]());
const copy = await startBind({ zones: [{ name: 'example.org', copyOf: bind.port }] });
after(() => copy[Symbol.asyncDispose]());
const fleet = await startFleet({ roles: [], pebble: { dnsServer: bind.address } });
after(() => fleet[Symbol.asyncDispose]());
afterEach(() => fleet.letGo());

const keyFile = join(fleet.dir, 'acme.key');
await writeFile(keyFile, keyText);
fleet.secrets.add(secret);

const blocks = `
[verification "dns"]
type = rfc2136
dns-server = ${bind.address}
tsig-secret-file = ${keyFile}
resolver = ${bind.address}
timeout = 60

[verification "lagging"]
type = dns01-dnsUpdate
dns-server = ${bind.address}
tsig-secret-file = ${keyFile}
propagation-server = ${bind.address}
propagation-server = ${copy.address}
propagation = 600

[verification "impatient"]
type = dns01-dnsUpdate
dns-server = ${bind.address}
tsig-secret-file = ${keyFile}
propagation-server = ${copy.address}
propagation = 1

[verification "macen"]
type = dns01-dnsUpdate
dns-server=${bind.address}
ttl=5
timeout=30

[auth "lagging"]
all = yes
domain = lagging.example.org
verification = lagging

[auth "impatient"]
all = yes
domain = impatient.example.org
verification = impatient

[auth "dns"]
all = yes
domain = *example.org
domain = *.example.org
verification = dns

[auth "macen"]
all = yes
domain = *.macen.example
verification = macen
`;
await Promise.all((['intake', 'worker'] as const).map(role => fleet.start(role, { blocks })));

async function sign(...names: string[]) {
  const { csrPem, keyPem } = await makeCsr({ names });
  const { status, body } = await fleet.post(csrPem);
  assert.equal(status, 200, body);
  assertChain(body, { names, keyPem, rootPem: await fleet.pebble.rootPem() });
}

const left = (name: string) => bind.dig(name, 'TXT');

suite('an order proven by dynamic updates', () => {
  test('of a base name and its wildcard ends in a certificate, and leaves no record', async () => {
    await sign('example.org', '*.example.org');
    assert.deepEqual(await left('_acme-challenge.example.org'), []);
  });

  test('of many names does so too', async () => {
    await sign(...Array.from({ length: 10 }, (_, n) => `n${n}.example.org`));
    assert.deepEqual(await left('_acme-challenge.n7.example.org'), []);
  });

  test('is not disturbed by another for the same name', async () => {
    await Promise.all([
      sign('one.example.org'),
      sign('one.example.org', 'two.example.org'),
      sign('*.one.example.org'),
    ]);
    assert.deepEqual(await left('_acme-challenge.one.example.org'), []);
  });

  test('is proven where a CNAME leads', async () => {
    await sign('moved.example.org');
    assert.deepEqual(await left('moved.proofs.example'), []);
  });

  test("with macen's block as it is", async () => {
    await sign('www.macen.example');
    assert.deepEqual(await left('_acme-challenge.www.macen.example'), []);
  });

  test('is not shown to the CA before a secondary that lags has the record', async () => {
    await copy.untilItHolds('example.org');
    const told = () =>
      fleet.ca.requests().filter(({ kind, postAsGet }) => kind === 'challenge' && !postAsGet).length;
    /** How often it was looked for in vain, as the checkpoint of the order tells. */
    const looks = async () => {
      const jobs = await fleet.redisClient.keys('{quarry}:checkpoint:*');
      const texts = await Promise.all(jobs.map(job => fleet.redisClient.get(job)));
      const own = texts.find(text => text?.includes('"lagging.example.org"'));
      return JSON.parse(own?.replace(/^\S* /, '') ?? '{}').orders?.default?.order.polls ?? 0;
    };
    const before = told();
    const signed = sign('lagging.example.org');
    await waitUntil('several looks', async () => (await looks()) >= 3);
    assert.equal((await left('_acme-challenge.lagging.example.org')).length, 1);
    assert.equal(told(), before);
    await copy.restart();
    await signed;
    assert.equal(told(), before + 1);
    assert.deepEqual(await left('_acme-challenge.lagging.example.org'), []);
  });

  test('is given up, and its record removed, when a secondary never has it', async () => {
    await copy.untilItHolds('example.org');
    const { csrPem } = await makeCsr({ names: ['impatient.example.org'] });
    const { status, body } = await fleet.post(csrPem);
    assert.equal(status, 421);
    assert.match(
      body.replace(copy.address, 'copy'),
      /^impatient\.example\.org: copy does not show the new record of _acme-challenge\.impatient\.example\.org yet \(NXDOMAIN\), after \d+ s\n$/,
    );
    assert.deepEqual(await left('_acme-challenge.impatient.example.org'), []);
  });

  test('tells a client in one line what the server refuses', async () => {
    const { csrPem } = await makeCsr({ names: ['refused.example.org'] });
    const { status, body } = await fleet.post(csrPem);
    assert.equal(status, 500);
    assert.equal(
      body,
      `DNS server ${bind.address}: REFUSED for _acme-challenge.refused.example.org: the key may not update this name\n`,
    );
  });

  test('waits for the server to come back', async () => {
    await bind.stop();
    const signed = sign('down.example.org');
    await waitUntil('the worker to find it down', () =>
      fleet.all('worker').some(({ output }) => /step failed.*|ECONNREFUSED/.test(output())),
    );
    await bind.restart();
    await signed;
    assert.deepEqual(await left('_acme-challenge.down.example.org'), []);
  });
});
