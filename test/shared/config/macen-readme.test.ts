import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadText } from './load-text.ts';
import { macenReadme } from './macen-readme.ts';

test("loadConfig() takes the configuration of macen's README", async () => {
  const { account, mgmt, verifications, storages, auth, warnings } = await loadText(macenReadme);
  assert.equal(account.acmeServer, 'https://acme-staging-v02.api.letsencrypt.org/directory');
  assert.equal(account.termsOfService, true);
  assert.equal(account.dir, '/etc/macen/account/');
  assert.deepEqual(mgmt.listeners, [{ host: '192.0.2.13', port: 1313, explicit: true }]);
  assert.equal(mgmt.maxSize, 4096);
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
    ...{ name: 'dns', type: 'dns01-dnsUpdate', servers: [{ host: '192.0.2.53', port: 53 }], ttl: 5, timeout: 30_000 },
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
  const shared = { all: false, addresses: [], storage: 'file' };
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
