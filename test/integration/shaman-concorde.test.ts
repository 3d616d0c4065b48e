import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { createAccount } from '../../shared/acme/account.ts';
import { openAcmeClient } from '../../shared/acme/client.ts';
import { openCaConnection } from '../../shared/acme/connection.ts';
import { systemClock } from '../../shared/base/basics.ts';
import { generateKeyPem } from '../../shared/pki/private-key.ts';
import { formatJson } from '../../shared/shaman/python-json.ts';
import { type Json, type ShamanDirectory, startShamanGround } from '../support/shaman-ground.ts';

const ground = await startShamanGround({
  profiles: { default: { description: '90 days', validityPeriod: 90 * 86_400 } },
});
after(() => ground[Symbol.asyncDispose]());
afterEach(() => ground.ca.clearRules());

const { ca, pebble } = ground;
const authorities = [await readFile(pebble.caFile, 'utf8')];
const { signal } = new AbortController();

const prove = { authenticators: { 'http-01': 'prove-challenge' } };
const orders = (name: string) =>
  ca.requests().filter(one => one.kind === 'newOrder' && one.identifiers?.some(({ value }) => value === name))
    .length;

const connect = () =>
  openCaConnection({
    directoryUrl: ca.directoryUrl,
    userAgent: 'quarry/test',
    clock: systemClock,
    ca: authorities,
  });

/** Without what Quarry adds: as concorde would have written it. */
function asConcorde(json: Json): string {
  const { quarry: _, ...more } = json;
  const domains = Object.entries(json.domains as Record<string, Json>).map(
    ([name, { quarry: _, ...domain }]) => [name, domain],
  );
  return formatJson({ ...more, domains: Object.fromEntries(domains) });
}

/**
 * What concorde leaves when it stops after newOrder, made by its own rules: key, account and order, and
 * nothing more.
 */
async function leftByConcorde(name: string): Promise<ShamanDirectory> {
  const keyPem = await generateKeyPem('P-384');
  using connection = connect();
  const { url } = await createAccount(connection, keyPem, { termsOfServiceAgreed: true }, signal);
  const acme = openAcmeClient(connection, { keyPem, url }, signal);
  const order = await acme.newOrder([{ type: 'dns', value: name }]);
  const key = `${name}.key.priv.pem`;
  const directory = await ground.directory({
    ...{ ...prove, key: 'account.key.priv.pem', account_id: url },
    domains: { [name]: { key, order_id: order.url } },
  });
  await writeFile(join(directory.path, 'account.key.priv.pem'), keyPem);
  await writeFile(join(directory.path, key), await generateKeyPem('P-384'));
  return directory;
}

test('a directory that concorde left in the middle of an order is continued: same account, same order, same key', async () => {
  const name = 'middle.example';
  const directory = await leftByConcorde(name);
  const key = await directory.text(`${name}.key.priv.pem`);
  const { account_id } = await directory.json();
  ca.reset();
  const { code, stdout } = await ground.run(directory);
  assert.equal(code, 0, stdout);
  assert.deepEqual([ca.counts().newAccount, orders(name)], [0, 0]);
  assert.equal(await directory.text(`${name}.key.priv.pem`), key);
  assert.equal((await directory.json()).account_id, account_id);

  // And back: what concorde looks for is there, and what it would write is what is there but for one key.
  const json = await directory.json();
  const { certificate_id, ...domain } = json.domains[name] ?? {};
  assert.match(`${certificate_id}`, /certZ/);
  assert.deepEqual(Object.keys(domain), ['key', 'quarry']);
  assert.deepEqual(Object.keys(json), [
    'account_id',
    'authenticators',
    'domains',
    'key',
    'quarry',
    'renewal',
    'server',
  ]);
  assert.equal(await directory.text('shaman.json'), formatJson(json));
});

test('a directory that concorde has kept up to date is kept as it is', async () => {
  const name = 'kept.example';
  const directory = await leftByConcorde(name);
  assert.equal((await ground.run(directory)).code, 0);
  await writeFile(join(directory.path, 'shaman.json'), asConcorde(await directory.json()));
  const chain = await directory.text(`${name}.cert.pub.pem`);
  ca.reset();
  const { code, stdout } = await ground.run(directory);
  assert.equal(code, 0, stdout);
  assert.deepEqual([ca.counts().newAccount, orders(name)], [0, 0]);
  assert.equal(await directory.text(`${name}.cert.pub.pem`), chain);
});

test('all is ordered anew with the same keys where the server is changed, as from staging to production', async () => {
  const name = 'moved.example';
  const directory = await ground.directory({ ...prove, domains: { [name]: {} } });
  assert.equal((await ground.run(directory)).code, 0);
  const key = await directory.text(`${name}.key.priv.pem`);
  const before = await directory.json();
  await directory.write({ ...before, server: pebble.directoryUrl });
  const { code, stdout } = await ground.run(directory);
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^WARNING the server was changed from \S+ to \S+: all is ordered anew there$/m);
  const now = await directory.json();
  assert.ok(`${now.account_id}`.startsWith(new URL(pebble.directoryUrl).origin));
  assert.notEqual(now.domains[name]?.certificate_id, before.domains[name]?.certificate_id);
  assert.equal(await directory.text(`${name}.key.priv.pem`), key);
});

test('an account that the CA has lost is made anew with its key, and a certificate that it has lost is kept', async () => {
  const name = 'forgotten.example';
  const directory = await ground.directory({ ...prove, contact: ['a@example.org'], domains: { [name]: {} } });
  assert.equal((await ground.run(directory)).code, 0);
  const chain = await directory.text(`${name}.cert.pub.pem`);
  await pebble.restart();
  ca.reset();
  const { code, stdout } = await ground.run(directory);
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^WARNING the CA no longer knows the account \S+$/m);
  assert.match(stdout, /^WARNING forgotten\.example: the CA no longer has \S+$/m);
  const made = ca.requests().find(({ kind }) => kind === 'newAccount');
  assert.deepEqual(made?.payload, { termsOfServiceAgreed: true, contact: ['mailto:a@example.org'] });
  assert.equal(orders(name), 0);
  assert.equal(await directory.text(`${name}.cert.pub.pem`), chain);
});

test('an external account binding is told to the CA, and asked for in one line where it is missing', async () => {
  const hmacKey = Buffer.alloc(32, 7).toString('base64url');
  await using strict = await startShamanGround({
    config: { externalAccountBindingRequired: true, externalAccountMACKeys: { 'kid-1': hmacKey } },
  });
  const domains = { 'eab.example': {} };
  const without = await strict.run(await strict.directory({ ...prove, domains }));
  assert.equal(without.code, 1);
  assert.match(without.stderr, /^quarry: .*external account binding.*\n$/i);
  const withIt = await strict.run(
    await strict.directory({ ...prove, domains, eab: { kid: 'kid-1', hmac_key: hmacKey } }),
  );
  assert.equal(withIt.code, 0, withIt.stdout);
  assert.ok(!withIt.stdout.includes(hmacKey));
});
