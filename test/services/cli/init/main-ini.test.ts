import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { findWarnings } from '../../../../services/cli/check.ts';
import type { Answers, Client, Proof } from '../../../../services/cli/init/answers.ts';
import { type Place, renderIni, toListeners, toSections } from '../../../../services/cli/init/main-ini.ts';
import { loadConfig } from '../../../../shared/setup/load-config.ts';
import { tempDir } from '../../../support/temp-dir.ts';

const dir = await tempDir();
after(() => dir[Symbol.asyncDispose]());
const command = join(dir.path, 'prove');
await writeFile(command, '#!/bin/sh\n');
await chmod(command, 0o755);

const places: Record<Place['kind'], Place> = {
  here: { kind: 'here', file: join(dir.path, 'here.ini'), data: join(dir.path, 'quarry-data') },
  system: { kind: 'system', file: join(dir.path, 'system.ini'), data: '/var/lib/quarry' },
  compose: { kind: 'compose', file: join(dir.path, 'compose.ini'), data: '/var/lib/quarry' },
};
const key = { name: 'acme', algorithm: 'hmac-sha512', secret: Buffer.alloc(32, 7).toString('base64') };
const proofs: Proof[] = [
  { kind: 'http', port: 80 },
  { kind: 'tls-alpn', port: 13443 },
  { kind: 'dns', server: '192.0.2.53:5353', key },
  { kind: 'dns', server: '2001:db8::53' },
  { kind: 'program', challenge: 'dns-01', command, cleanup: command },
];
const clients: Client[][] = [
  [{ kind: 'this-machine' }],
  [{ kind: 'network', cidr: '192.0.2.0/24' }],
  [{ kind: 'key' }],
  [{ kind: 'key', host: 'web1.example.org' }],
  [{ kind: 'token' }],
  [
    { kind: 'token' },
    { kind: 'key' },
    { kind: 'key', host: 'web1.example.org' },
    { kind: 'key', host: 'web2.example.org' },
    { kind: 'network', cidr: '192.0.2.0/24' },
    { kind: 'network', cidr: '2001:db8::/32' },
    { kind: 'this-machine' },
  ],
];
const cas: Answers['ca'][] = [
  { directory: 'https://ca.example/dir' },
  {
    directory: 'https://ca.example/dir',
    terms: 'data:text/plain,Do%20what%20thou%20wilt',
    eab: { kid: 'kid-1', hmacKey: 'c2VjcmV0' },
  },
  { directory: 'https://ca.example/dir', terms: true },
];

const names = ['example.org', '*.example.org'];
let count = 0;
const makeKey = () => `key-number-${++count}`.padEnd(44, '=');

const makeAnswers = (answers: Partial<Answers>): Answers => ({
  ca: { directory: 'https://ca.example/dir' },
  names,
  proof: { kind: 'http', port: 80 },
  clients: [{ kind: 'this-machine' }],
  listeners: [],
  ...answers,
});

async function load(answers: Answers, place: Place, hasIpv6 = true) {
  const text = renderIni(toSections(answers, place, { hasIpv6, makeKey }), 'quarry check main.ini');
  await writeFile(place.file, text, { mode: 0o600 });
  return loadConfig([place.file], {});
}

const kinds = Object.values(places);
const all = proofs.flatMap(proof => clients.map(who => ({ proof, clients: who })));

test('whatever is answered, main.ini loads, and says that and nothing else', async () => {
  for (const [index, given] of all.entries()) {
    const place = kinds[index % kinds.length] ?? places.here;
    const { proof } = given;
    const ca = cas[(index >> 1) % cas.length] ?? { directory: '' };
    const contact = index % 2 === 0 ? {} : { contact: 'mailto:admin@example.org' };
    const config = await load(makeAnswers({ ...contact, ca, ...given }), place, index % 4 < 2);
    const account = config.accounts.get('default');
    assert.equal(account?.acmeServer, ca.directory);
    assert.deepEqual(account?.contact, Object.values(contact));
    assert.deepEqual(account?.eab, ca.eab);
    assert.deepEqual(account?.termsOfService, typeof ca.terms === 'string' ? [ca.terms] : ca.terms === true);
    assert.deepEqual([...config.verifications.keys()], [proof.kind]);
    assert.deepEqual(config.warnings, []);
    for (const { verifications, storage, domains, hmac } of config.auth) {
      assert.deepEqual([verifications, storage], [[proof.kind], 'file']);
      assert.ok(domains.length > 0);
      if (hmac) assert.deepEqual([hmac.version, hmac.type], [2, 'sha256']);
    }
    const [storage] = config.storages.values();
    assert.ok(storage?.type === 'file' && storage.renewAhead);
    await findWarnings(config); // it throws where a program or a file is missing
  }
});

test('each way of telling who asks has a block of its own, and a host with a key its own name alone', async () => {
  const { auth } = await load(makeAnswers({ clients: clients.at(-1) ?? [] }), places.here);
  const shown = auth.map(({ name, ips, hmac, token, domains }) => ({
    ...{ name, ips, token, domains },
    keys: hmac?.keys.length,
  }));
  const block = { ips: [], token: undefined, domains: names, keys: undefined };
  assert.deepEqual(shown, [
    { ...block, name: 'this-machine', ips: ['127.0.0.1', '::1'] },
    { ...block, name: 'network', ips: ['192.0.2.0/24', '2001:db8::/32'] },
    { ...block, name: 'web1.example.org', keys: 1, domains: ['web1.example.org'] },
    { ...block, name: 'web2.example.org', keys: 1, domains: ['web2.example.org'] },
    { ...block, name: 'hosts', keys: 1 },
    { ...block, name: 'tokens', token: true },
  ]);
  const keys = auth.flatMap(({ hmac }) => hmac?.keys ?? []);
  assert.equal(new Set(keys).size, 3);
});

test('for this machine alone Quarry listens on loopback, for others at all addresses, in containers at all', () => {
  const listeners = (answers: Partial<Answers>, place = places.here, hasIpv6 = true) =>
    toListeners(makeAnswers(answers), place, hasIpv6);
  assert.deepEqual(listeners({}), ['127.0.0.1:1313']);
  const others: Client[] = [{ kind: 'this-machine' }, { kind: 'key' }];
  assert.deepEqual(listeners({ clients: others }), ['0.0.0.0:1313', '[::]:1313']);
  assert.deepEqual(listeners({ clients: others }, places.system, false), ['0.0.0.0:1313']);
  assert.deepEqual(listeners({ clients: others }, places.compose), ['0.0.0.0:1313']);
  const named = (listener: string) => listeners({ clients: others, listeners: [listener] });
  assert.deepEqual(named('127.0.0.1:80'), ['127.0.0.1:80']);
  assert.deepEqual(named('[::]:80'), ['[::]:80']);
  // This machine is known by its loopback address.
  assert.deepEqual(named('192.0.2.1:80'), ['192.0.2.1:80', '127.0.0.1:80']);
});
