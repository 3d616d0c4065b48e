import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '../../../shared/setup/load-config.ts';
import { tlsAuthority } from '../../support/tls-authority.ts';
import { account, auth, loadText, loadTexts, refusal } from './load-text.ts';

test('loadConfig() fills in the defaults of a least configuration', async () => {
  const only = {
    name: 'default',
    acmeServer: 'https://acme-staging-v02.api.letsencrypt.org/directory',
    termsOfService: false,
    dir: '/var/lib/quarry',
    contact: [],
    limits: {},
  };
  assert.deepEqual(await loadText(account + auth), {
    accounts: new Map([['default', only]]),
    mgmt: {
      listeners: [
        { host: '127.0.0.1', port: 1313, explicit: false },
        { host: '::1', port: 1313, explicit: false },
      ],
      maxSize: 16_384,
      wait: 180,
      trustedProxies: [],
    },
    secretFile: '/var/lib/quarry/installation.key',
    verifications: new Map([
      [
        'http01',
        {
          name: 'http01',
          type: 'http01',
          challenge: 'http-01',
          listeners: [
            { host: '0.0.0.0', port: 1380, explicit: false },
            { host: '::', port: 1380, explicit: false },
          ],
          selfCheck: { mode: 'warn', port: 80, resolvers: [], networks: [] },
        },
      ],
    ]),
    storages: new Map([['none', { name: 'none', type: 'none' }]]),
    renewals: [],
    auth: [
      {
        name: 'mail',
        ips: ['192.0.2.1'],
        all: false,
        domains: ['mail.example.org'],
        addresses: [],
        verifications: ['http01'],
        challenges: ['http-01'],
        storage: 'none',
        accounts: [{ account: 'default' }],
      },
    ],
    logging: { level: 'info', destination: 'stderr', format: 'json' },
    redis: { tls: false, tlsFiles: {}, prefix: '{quarry}', dir: './quarry-data' },
    worker: { concurrency: 64 },
    admin: { listeners: [{ host: '127.0.0.1', port: 9313, explicit: false }] },
    acme: {
      ...{ caaIdentities: [], profiles: {}, newAccounts: { count: 100, period: 3_600_000 } },
      proof: { httpPort: 80, resolvers: [], tlsPort: 443, tries: 6 },
    },
    trail: { keep: 400 },
    notify: [],
    warnings: [],
    hidden: [],
    secretFiles: [],
  });
});

test('loadConfig() reads several files as one', async () => {
  const config = await loadTexts({ 'a.ini': account, 'b.ini': '[mgmt]\nwait = 5\n', 'c.ini': auth });
  assert.equal(config.mgmt.wait, 5);
  assert.equal(config.auth[0]?.name, 'mail');
});

test('loadConfig() takes what files repeat once, and adds up what they say of one section', async () => {
  const mgmt = '[mgmt]\nwait = 5\ntrusted-proxy = 10.0.0.1\ntrusted-proxy = 10.0.0.2\n';
  const more = `${account}${mgmt}max-size = 100\n${auth}[account "default"]\n`;
  await assert.rejects(loadTexts({ 'a.ini': account + mgmt + auth, 'b.ini': more }), {
    message: 'b.ini:11: [account "default"]: is defined twice, first at b.ini:1',
  });
  const b = more.replace('[account "default"]\n', '');
  const config = await loadTexts({ 'a.ini': account + mgmt + auth, 'b.ini': b });
  assert.deepEqual([config.mgmt.wait, config.mgmt.maxSize], [5, 100]);
  assert.deepEqual(config.mgmt.trustedProxies, ['10.0.0.1', '10.0.0.2']);
  assert.equal(config.auth.length, 1);
});

for (const [what, b, message] of [
  ['a block', auth.replace('.1', '.2'), 'b.ini:1: [auth "mail"]: is defined at a.ini:3 too, and otherwise'],
  [
    'a block of which one has more',
    `${auth}domain = www.example.org\n`,
    'b.ini:1: [auth "mail"]: is defined at a.ini:3 too, and otherwise',
  ],
  ['an option', '[account]\ndir = /s3cret\n', 'b.ini:2: [account] dir: is said otherwise at a.ini:2'],
  [
    'a list',
    '[mgmt]\nlistener = [::1]:1\nlistener = [::1]:2\n',
    'b.ini:2: [mgmt] listener: is said otherwise at a.ini:7',
  ],
] as const)
  test(`loadConfig() refuses ${what} that two files say in different ways, and names both places`, async () => {
    const a = `${account}${auth}[mgmt]\nlistener = [::1]:1\n`;
    await assert.rejects(loadTexts({ 'a.ini': a, 'b.ini': b }), { name: 'ConfigError', message });
  });

test('loadConfig() says where an option of a joined section is wrong', async () => {
  await assert.rejects(loadTexts({ 'a.ini': account + auth, 'b.ini': `${account}contact = x\n` }), {
    message: /^b\.ini:3: \[account\] contact: /,
  });
});

test('loadConfig() names a file that cannot be read', async () => {
  await assert.rejects(loadConfig(['/nowhere/main.ini'], {}), {
    message:
      '/nowhere/main.ini: cannot be read: no such file or directory; make it by quarry init /nowhere/main.ini',
  });
  await assert.rejects(loadConfig(['/mnt/copy/trail'], {}), {
    message: '/mnt/copy/trail: cannot be read: no such file or directory: make it, or correct the path',
  });
});

test('loadConfig() takes the only blocks that are defined as the defaults', async () => {
  const { auth: blocks, storages } = await loadText(
    `${account}[verification "web"]\ntype = http01\n[storage "disk"]\ntype = file\ndirectory = /s\n${auth}`,
  );
  assert.deepEqual([blocks[0]?.verifications, blocks[0]?.storage], [['web'], 'disk']);
  assert.deepEqual([...storages.keys()], ['disk']);
});

test('loadConfig() uses the implicit blocks where several are defined and none is named', async () => {
  const { auth: blocks } = await loadText(
    `${account}[verification "a"]\ntype = http01\n[verification "b"]\ntype = http01\nlistener = [::1]:1
[storage "c"]\ntype = redis\n[storage "d"]\ntype = redis\n${auth}`,
  );
  assert.deepEqual([blocks[0]?.verifications, blocks[0]?.storage], [['http01'], 'none']);
});

test('loadConfig() adds no implicit block that no auth block uses', async () => {
  const { verifications, storages } = await loadText(
    `${account}[verification "a"]\ntype = http01\n[verification "b"]\ntype = http01\n
[storage "c"]\ntype = redis\n[storage "d"]\ntype = redis\n${auth}verification = a\nstorage = d\n`,
  );
  assert.deepEqual([...verifications.keys(), ...storages.keys()], ['a', 'b', 'c', 'd']);
});

test('loadConfig() gives an implicit block another name where a block of another type has its name', async () => {
  const {
    auth: blocks,
    verifications,
    storages,
  } = await loadText(
    `${account}[verification "http01"]\ntype = dns01-dnsUpdate\n[verification "b"]\ntype = dns01-dnsUpdate\n
[storage "none"]\ntype = redis\n[storage "b"]\ntype = redis\n${auth}`,
  );
  assert.deepEqual([blocks[0]?.verifications, blocks[0]?.storage], [['implicit http01'], 'implicit none']);
  assert.deepEqual(blocks[0]?.challenges, ['http-01']);
  assert.deepEqual(
    [verifications.get('implicit http01')?.type, storages.get('implicit none')?.type],
    ['http01', 'none'],
  );
});

test('loadConfig() knows no verification http where another one is the default', async () => {
  const dns = '[verification "dns"]\ntype = dns01-dnsUpdate\n';
  const said = 'main.ini:8: [auth "mail"] verification: no [verification "http"] is defined; defined: "dns"';
  assert.equal(await refusal(`${account}${dns}${auth}verification = http\n`), said);
});

for (const disabled of ['', 'no', 'false']) {
  test(`loadConfig() wants each block to name its own where the defaults are "${disabled}"`, async () => {
    const text = `${account}[mgmt]\ndefault-verification = ${disabled}\ndefault-storage = ${disabled}\n
[verification "web"]\ntype = http01\n[storage "disk"]\ntype = redis\n${auth}`;
    const { auth: blocks } = await loadText(`${text}verification = web\nstorage = disk\n`);
    assert.deepEqual([blocks[0]?.verifications, blocks[0]?.storage], [['web'], 'disk']);
    const said = /^main\.ini:11: \[auth "mail"\] (\w+): is missing, and \[mgmt\] default-\1 is disabled$/;
    assert.match(await refusal(`${text}verification = web\n`), said);
    assert.match(await refusal(`${text}storage = disk\n`), said);
  });
}

const { caFile } = await tlsAuthority();

test('loadConfig() takes REDIS_URL, ACME_CAFILE and QUARRY_LOG from the environment', async () => {
  const env = { REDIS_URL: 'redis://redis:6379', ACME_CAFILE: caFile, QUARRY_LOG: 'debug' };
  const config = await loadText(`${account + auth}[logging]\nlevel = error\n`, env);
  assert.equal(config.redis.url, env.REDIS_URL);
  assert.equal(config.accounts.get('default')?.caFile, env.ACME_CAFILE);
  assert.equal(config.logging.level, 'debug');
});

test('loadConfig() prefers a written Redis URL and ca-file to the environment', async () => {
  const env = { REDIS_URL: 'redis://other', ACME_CAFILE: '/nowhere', QUARRY_LOG: '' };
  const text = `${account}ca-file = ${caFile}\n${auth}[redis]\nurl = unix:/run/redis.sock\n`;
  const config = await loadText(text, env);
  assert.equal(config.redis.url, 'unix:/run/redis.sock');
  assert.equal(config.accounts.get('default')?.caFile, caFile);
});

for (const [env, message] of [
  [
    { ACME_CAFILE: '/nowhere.pem' },
    'environment: ACME_CAFILE: /nowhere.pem cannot be read: no such file or directory: make it, or correct the path',
  ],
  [{ QUARRY_LOG: 'loud' }, /^environment: QUARRY_LOG: unknown level; known: trace, /],
  [
    { REDIS_URL: 'http://:s3cret@redis' },
    'environment: REDIS_URL: is not redis://…, rediss://… or unix:/path; for Sentinels write ' +
      'sentinel = host:port, for a cluster cluster = host:port',
  ],
] as const) {
  test(`loadConfig() refuses a bad ${Object.keys(env)[0]} in the environment`, async () => {
    const said = await refusal(account + auth, env);
    if (typeof message === 'string') assert.equal(said, message);
    else assert.match(said, message);
  });
}

for (const [what, text, message] of [
  ['a missing [account]', auth, /^main\.ini: \[account\]: is missing/],
  ['a configuration without auth blocks', account, /^main\.ini: \[auth\]: no auth block/],
  [
    'an unknown section',
    `${account + auth}[mgnt]\n`,
    /^main\.ini:6: \[mgnt\]: unknown section, did you mean mgmt\? known: account, mgmt, /,
  ],
  [
    "macen's plugins",
    `[setup]\nplugin = x\n`,
    /^main\.ini:1: \[setup\]: Python plugins and include-path can't be used/,
  ],
  ['an auth block without a name', '[auth]\n', 'main.ini:1: [auth]: needs a name: [auth "name"]'],
  ['a name where none belongs', '[mgmt "x"]\n', 'main.ini:1: [mgmt "x"]: takes no name: [mgmt]'],
  [
    'an unknown option',
    `${account}dri = /x\n`,
    /^main\.ini:3: \[account\] dri: unknown option; known here: acme-server, /,
  ],
  [
    'an option given twice',
    `${account}dir = /b\n`,
    'main.ini:3: [account] dir: is given twice, first at main.ini:2',
  ],
] as const) {
  test(`loadConfig() refuses ${what}`, async () => {
    const said = await refusal(text);
    if (typeof message === 'string') assert.equal(said, message);
    else assert.match(said, message);
  });
}

test('loadConfig() warns of a # that becomes part of a value', async () => {
  const { accounts, warnings } = await loadText(`[account]\ndir = /a # here\n${auth}`);
  assert.equal(accounts.get('default')?.dir, '/a # here');
  assert.match(warnings[0] ?? '', /^main\.ini:2: \[account\] dir: the # or ; is read as part of the value/);
});
