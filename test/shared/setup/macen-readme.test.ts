import assert from 'node:assert/strict';
import { test } from 'node:test';
import { account, auth, loadText } from './load-text.ts';
import { macenReadme } from './macen-readme.ts';

test("loadConfig() takes the configuration of macen's README", async () => {
  const { accounts, mgmt, verifications, storages, auth, warnings } = await loadText(macenReadme);
  const read = accounts.get('default');
  assert.equal(read?.acmeServer, 'https://acme-staging-v02.api.letsencrypt.org/directory');
  assert.equal(read?.termsOfService, true);
  assert.equal(read?.dir, '/etc/macen/account/');
  assert.deepEqual(mgmt.listeners, [{ host: '192.0.2.13', port: 1313, explicit: true }]);
  assert.equal(mgmt.maxSize, 4000);
  const http = verifications.get('http');
  assert.ok(http?.type === 'http01');
  assert.deepEqual(
    http.listeners.map(({ host, port }) => [host, port]),
    [
      ['192.0.2.80', 1380],
      ['198.51.100.80', 1380],
      ['fe80::80%eth0', 1380],
    ],
  );
  assert.deepEqual(verifications.get('dns'), {
    ...{
      name: 'dns',
      type: 'dns01-dnsUpdate',
      challenge: 'dns-01',
      servers: [{ host: '192.0.2.53', port: 53 }],
      ttl: 5,
      timeout: 30_000,
    },
    ...{ zones: [], propagation: 120_000, propagationServers: [], resolvers: [] },
  });
  assert.deepEqual(
    [...storages.values()],
    [
      { name: 'none', type: 'none' },
      {
        ...{ name: 'file', type: 'file', directory: '/etc/macen/storage' },
        ...{ renewWithin: 14, renewAhead: false, keepExpired: 30 },
      },
    ],
  );
  const shared = { all: false, addresses: [], storage: 'file', accounts: [{ account: 'default' }] };
  assert.deepEqual(auth, [
    {
      ...shared,
      name: 'mail',
      ips: ['192.0.2.0/24', '198.51.100.21'],
      domains: ['mail.example.org', 'mail.example.com'],
      verifications: ['http'],
      challenges: ['http-01'],
    },
    {
      ...shared,
      name: 'ext',
      ips: ['198.51.100.128/28'],
      domains: ['*.test.example.org'],
      verifications: ['http'],
      challenges: ['http-01'],
    },
    {
      ...shared,
      name: 'mail-secure',
      ips: ['198.51.100.21'],
      hmac: { type: 'sha256', keys: ['A1YP67armNf3cBrecyJHdb035'] },
      domains: ['mail?.example.org', 'mail.example.com'],
      verifications: ['dns'],
      challenges: ['dns-01'],
    },
  ]);
  assert.deepEqual(warnings, [
    'main.ini:4: [account] accept-terms-of-service: what follows the # or ; is ignored; a comment needs a line of its own',
  ]);
});

test("loadConfig() takes macen's verification blocks of every type as they are, with the defaults that they have there", async () => {
  const types = {
    http01: ['listener = 192.0.2.80:1380'],
    'dns01-dnsUpdate': ['dns-server = 192.0.2.53', 'ttl = 5', 'timeout = 30'],
    'dns01-server': ['listeners = 127.0.0.1:5053'],
    'dns01-challtestsrv': ['set-txt_url = http://localhost:8055/set-txt'],
  };
  const blocks = Object.entries(types).flatMap(([type, options]) => [
    `[verification "${type}"]\ntype = ${type}`,
    `[verification "${type}-full"]\ntype = ${type}\n${options.join('\n')}`,
  ]);
  const { verifications } = await loadText(
    `${blocks.join('\n')}\n[mgmt]\ndefault-verification = http01\n${account}${auth}`,
  );
  assert.deepEqual(
    [...verifications.values()].map(({ type }) => type),
    Object.keys(types).flatMap(type => [type, type]),
  );
  const update = verifications.get('dns01-dnsUpdate');
  assert.ok(update?.type === 'dns01-dnsUpdate');
  assert.deepEqual(
    [update.servers, update.ttl, update.timeout],
    [[{ host: '127.0.0.1', port: 53 }], 60, 5_000],
  );
  const challtestsrv = verifications.get('dns01-challtestsrv');
  assert.ok(challtestsrv?.type === 'dns01-challtestsrv');
  assert.equal(challtestsrv.setTxtUrl, 'http://localhost:8055/set-txt');
});
