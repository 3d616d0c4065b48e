import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { tlsAuthority } from '../../support/tls-authority.ts';
import { account, auth, loadText, refusal } from './load-text.ts';

const missingFile = /cannot be read: no such file or directory: make it, or correct the path$/;
const itself = import.meta.filename;
const { caFile, certFile, keyFile } = await tlsAuthority();
const challtestsrv = '[verification "a"]\ntype = dns01-challtestsrv\n';
const persist = '[verification "a"]\ntype = dns-persist-01\n';
const program = '[verification "a"]\ntype = program\n';

/** [what, text behind `[account] dir` and an auth block, refusal] */
const refused: [string, string, RegExp][] = [
  [
    'an ACME server without TLS',
    '[account]\ndir=/a\nacme-server = http://ca.example',
    /acme-server: must be https/,
  ],
  [
    'an ACME server that is no URL',
    '[account]\ndir=/a\nacme-server = ca.example',
    /acme-server: is not an https/,
  ],
  ['a missing account dir', '[account]\n', /^main\.ini:1: \[account\] dir: is missing/],
  ['an empty account dir', '[account]\ndir =', /^main\.ini:2: \[account\] dir: is empty$/],
  [
    'terms that are a typo',
    '[account]\ndir=/a\naccept-terms-of-service = yess',
    /is neither yes, no nor the URL/,
  ],
  [
    'terms that are yes and a URL at once',
    '[account]\ndir=/a\naccept-terms-of-service = yes\naccept-terms-of-service = https://ca.example/1',
    /give either yes or no once/,
  ],
  [
    'a contact that is no address',
    '[account]\ndir=/a\ncontact = admin',
    /contact: is neither an e-mail address/,
  ],
  [
    'eab-kid alone',
    '[account]\ndir=/a\neab-kid = k',
    /^main\.ini:3: \[account\] eab-kid: needs eab-hmac-key/,
  ],
  [
    'eab-hmac-key alone',
    '[account]\ndir=/a\neab-hmac-key = s3cret',
    /\[account\] eab-hmac-key: needs eab-kid/,
  ],
  ['a damaged eab-hmac-key', '[account]\ndir=/a\neab-hmac-key = s3cret!', /eab-hmac-key: is not base64url/],
  ['an unreadable ca-file', '[account]\ndir=/a\nca-file = /nowhere', missingFile],
  ['a ca-file that is a folder', '[account]\ndir=/a\nca-file = /', /illegal operation on a directory$/],
  [
    'a client-ca that nobody can show a certificate of',
    `[mgmt]\nclient-ca = ${itself}`,
    /client-ca: needs tls-cert, or a trusted-proxy/,
  ],
  [
    'a client-ca without a certificate',
    `[mgmt]\ntrusted-proxy = 127.0.0.1\nclient-ca = ${itself}`,
    /^main\.ini:3: \[mgmt\] client-ca: .* cannot be used: it holds no certificate in PEM$/,
  ],
  ['a bad listener', '[mgmt]\nlistener = 1313', /^main\.ini:2: \[mgmt\] listener: is not host:port/],
  [
    'the same listener twice',
    '[mgmt]\nlistener = a:1\nmgmt = a:1',
    /^main\.ini:3: \[mgmt\] mgmt: a:1 is given twice/,
  ],
  ['a max-size of 4 kilo', '[mgmt]\nmax-size = 4 kilo', /max-size: is not a size such as 4096, 4k or 4KiB$/],
  ['a wait in minutes', '[mgmt]\nwait = 3m', /wait: is not a whole number from 0 to 3600$/],
  ['a value with a comment', '[mgmt]\nwait = 3 # seconds', /to 3600 \(a comment needs a line of its own\)$/],
  ['a bad trusted-proxy', '[mgmt]\ntrusted-proxy = 10.0.0.1/8', /did you mean 10\.0\.0\.0\/8\?$/],
  ['tls-cert alone', `[mgmt]\ntls-cert = ${certFile}`, /tls-cert: needs tls-key/],
  ['tls-key alone', `[mgmt]\ntls-key = ${itself}`, /tls-key: needs tls-cert/],
  ['an unreadable tls-cert', '[mgmt]\ntls-cert = /nowhere', missingFile],
  [
    'a tls-cert that is none',
    `[mgmt]\ntls-cert = ${itself}\ntls-key = ${keyFile}`,
    /^main\.ini:2: \[mgmt\] tls-cert: .*sections\.test\.ts holds no certificate in PEM$/,
  ],
  [
    'a tls-key that is none',
    `[mgmt]\ntls-cert = ${certFile}\ntls-key = ${itself}`,
    /^main\.ini:3: \[mgmt\] tls-key: .*sections\.test\.ts holds no private key in PEM without a passphrase$/,
  ],
  [
    'the tls-key of another certificate',
    `[mgmt]\ntls-cert = ${caFile}\ntls-key = ${keyFile}`,
    /tls-cert: \S+ cannot be used with the tls-key \S+: key values mismatch$/,
  ],
  [
    'a ca-file without a certificate',
    `[account]\ndir=/a\nca-file = ${keyFile}`,
    /^main\.ini:3: \[account\] ca-file: \S+ holds no certificate in PEM$/,
  ],
  [
    "a syslog server's ca-file without a certificate",
    '[trail]\nsyslog = tls://h\nsyslog-ca-file = /dev/null',
    /syslog-ca-file: \/dev\/null holds no certificate in PEM$/,
  ],
  [
    'a default that is not defined',
    '[mgmt]\ndefault-storage = disk',
    /no \[storage "disk"\] is defined; none is$/,
  ],
  [
    'a verification without a type',
    '[verification "a"]\n',
    /^main\.ini:1: \[verification "a"\] type: is missing; known/,
  ],
  [
    'a type that is not first',
    '[verification "a"]\nlistener = a:1\ntype = http01',
    /^main\.ini:3: \[verification "a"\] type: must be the first option/,
  ],
  ['an unknown verification', '[verification "a"]\ntype = dns02', /unknown type; known: http01,/],
  [
    'a challtestsrv that is no URL',
    `${challtestsrv}set-txt_url = localhost`,
    /set-txt_url: is not a URL such as/,
  ],
  [
    'a challtestsrv without set-txt',
    `${challtestsrv}set-txt_url = http://localhost/`,
    /does not end in \/set-txt$/,
  ],
  [
    'dns-persist-01 as if it were settled',
    `${persist}issuer = ca.example`,
    /:1: .* draft: is missing: dns-persist-01 is a draft/,
  ],
  [
    'another draft',
    `${persist}draft = 02`,
    /draft: is not 01: dns-persist-01 is a draft that still moves; write draft = 01/,
  ],
  [
    'an issuer that is none',
    `${persist}draft = 01\nissuer = CA.example`,
    /issuer: is not a domain name in lower case$/,
  ],
  [
    'a program without a challenge',
    `${program}command = p`,
    /^main\.ini:1: .* challenge: is missing; known: http-01,/,
  ],
  ['a program without a command', `${program}challenge = dns-01`, /\[verification "a"\] command: is missing/],
  ['a program that is named by nothing', `${program}challenge = dns-01\ncommand =`, /command: is empty$/],
  [
    'a challenge no program answers',
    `${program}challenge = dns-persist-01`,
    /challenge: unknown challenge; known: http/,
  ],
  [
    'a program that may run for ever',
    `${program}timeout = 0`,
    /timeout: is not a whole number from 1 to 3600$/,
  ],
  ['an unknown storage', '[storage "a"]\ntype = disk', /unknown type; known: none, file, redis$/],
  ['a file storage without directory', '[storage "a"]\ntype = file', /\[storage "a"\] directory: is missing/],
  [
    'a directory that none does not use',
    '[storage "a"]\ntype = none\ndirectory = /a',
    /directory: unknown option/,
  ],
  ['negative days', '[storage "a"]\ntype = redis\nrenew-within = -1', /renew-within: is not a whole number/],
  ['an unknown level', '[logging]\nlevel = loud', /level: unknown level; known: trace,/],
  ['a destination that is a typo', '[logging]\ndestination = stdot', /destination: is neither stdout/],
  ['an unknown format', '[logging]\nformat = xml', /format: is neither json nor text$/],
  ['a Redis URL of another kind', '[redis]\nurl = http://:s3cret@redis', /url: is not redis:/],
  ['a damaged Redis URL', '[redis]\nurl = redis://:s3cret/x@redis', /url: is not a valid URL/],
  ['a Redis URL with a path', '[redis]\nurl = redis://:s3cret@redis/zero', /url: may have only the number/],
  ['an empty prefix', '[redis]\nprefix =', /prefix: must be one word/],
  ['no workers', '[worker]\nconcurrency = 0', /concurrency: is not a whole number from 1 to 1000$/],
  ['a bad admin listener', '[admin]\nlistener = ::1', /listener: is not host:port or \[IPv6\]:port/],
];

for (const [what, text, message] of refused) {
  test(`loadConfig() refuses ${what}`, async () => {
    const said = await refusal(
      text.startsWith('[account]') ? `${text}\n${auth}` : `${text}\n${account}${auth}`,
    );
    assert.match(said, message);
    assert.doesNotMatch(said, /s3cret|\n/);
  });
}

test('a program is found from its configuration file on, and need not be on this machine', async () => {
  const text = `${program}challenge = dns-01\ncommand = hooks/add record\ncleanup-command = /opt/remove\ntimeout = 5\n`;
  const { verifications } = await loadText(`${text}${account}${auth}`);
  const read = verifications.get('a');
  assert.ok(read?.type === 'program');
  assert.equal(read.command.path, join(read.folder, 'hooks/add record'));
  assert.equal(read.cleanup?.path, '/opt/remove');
  assert.equal(read.timeout, 5_000);
});

test('[account] takes contacts, external account binding and the URLs of terms', async () => {
  const { accounts } = await loadText(`[account]
acme-server = http://127.0.0.1:14000/dir
accept-terms-of-service = https://ca.example/1
accept-terms-of-service = https://ca.example/2
dir = /a
contact = admin@example.org
contact = mailto:root@example.org
eab-kid = kid-1
eab-hmac-key = zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W
${auth}`);
  assert.deepEqual(accounts.get('default'), {
    name: 'default',
    acmeServer: 'http://127.0.0.1:14000/dir',
    termsOfService: ['https://ca.example/1', 'https://ca.example/2'],
    dir: '/a',
    contact: ['mailto:admin@example.org', 'mailto:root@example.org'],
    eab: { kid: 'kid-1', hmacKey: 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W' },
    limits: {},
  });
});

for (const [written, meant] of [
  ['yes # or true', true],
  ['https://ca.example/terms#v1 # the new ones', ['https://ca.example/terms#v1']],
] as const) {
  test(`[account] reads accept-terms-of-service = ${written} without its comment, with a warning`, async () => {
    const text = `[account]\ndir=/a\naccept-terms-of-service = ${written}\n${auth}`;
    const { accounts, warnings } = await loadText(text);
    assert.deepEqual(accounts.get('default')?.termsOfService, meant);
    assert.deepEqual(warnings, [
      'main.ini:3: [account] accept-terms-of-service: what follows the # or ; is ignored; a comment needs a line of its own',
    ]);
  });
}

test('[mgmt] takes listener and mgmt together, sizes, proxies and TLS', async () => {
  const { mgmt, warnings } = await loadText(`${account + auth}[mgmt]
mgmt = 192.0.2.13:1313
listener = [::]:0
max-size = 8KiB
wait = 0
trusted-proxy = 10.0.0.0/8
trusted-proxy = ::/0
tls-cert = ${certFile}
tls-key = ${keyFile}
`);
  assert.deepEqual(mgmt, {
    listeners: [
      { host: '::', port: 0, explicit: true },
      { host: '192.0.2.13', port: 1313, explicit: true },
    ],
    maxSize: 8192,
    wait: 0,
    trustedProxies: ['10.0.0.0/8', '::/0'],
    tls: { certFile, keyFile },
  });
  assert.match(warnings.join(), /^main\.ini:\d+: \[mgmt\] trusted-proxy: ::\/0 lets every client choose/);
});

test('[storage] reads every type', async () => {
  const { storages } = await loadText(`${account + auth}storage = b
[storage "a"]\ntype = file\ndirectory = /s
[storage b]\ntype = redis\nrenew-within = 0\nrenew-ahead = yes\nkeep-expired = 7
[storage "none"]\ntype = none\n`);
  assert.deepEqual(
    [...storages.values()],
    [
      { name: 'a', type: 'file', directory: '/s', renewWithin: 14, renewAhead: false, keepExpired: 30 },
      { name: 'b', type: 'redis', renewWithin: 0, renewAhead: true, keepExpired: 7 },
      { name: 'none', type: 'none' },
    ],
  );
});

for (const [written, level] of [
  ['DEBUG', 'debug'],
  ['Warning', 'warn'],
  ['CRITICAL', 'fatal'],
  ['NOTSET', 'trace'],
  ['silent', 'silent'],
] as const) {
  test(`[logging] reads level ${written} as ${level}`, async () => {
    const { logging } = await loadText(`${account + auth}[logging]\nlevel = ${written}\n`);
    assert.equal(logging.level, level);
  });
}

test("[logging] reads macen's destination, format and config-file with warnings", async () => {
  const { logging, warnings } = await loadText(`${account + auth}[logging]
destination = journalctl
format = %(asctime)s %(message)s
config-file = /etc/macen/logging.conf
`);
  assert.deepEqual(logging, { level: 'info', destination: 'stderr', format: 'text' });
  assert.deepEqual(
    warnings.map(warning => warning.slice(0, warning.indexOf(': ', 12))),
    [
      'main.ini:9: [logging] config-file',
      'main.ini:7: [logging] destination',
      'main.ini:8: [logging] format',
    ],
  );
});

test('[logging] takes the path of a file', async () => {
  const { logging } = await loadText(`${account + auth}[logging]\ndestination = quarry.log\nformat = json\n`);
  assert.deepEqual(logging, { level: 'info', destination: 'quarry.log', format: 'json' });
});

test('[redis], [worker] and [admin] are read', async () => {
  const { redis, worker, admin } = await loadText(`${account + auth}
[redis]\nurl = rediss://:p%40ss@redis:6380/2\nprefix = {a}\ndir = /r
[worker]\nconcurrency = 4
[admin]\nlistener = 0.0.0.0:9000\n`);
  const url = 'rediss://:p%40ss@redis:6380/2';
  assert.deepEqual(redis, { url, tls: false, tlsFiles: {}, prefix: '{a}', dir: '/r' });
  assert.deepEqual(worker, { concurrency: 4 });
  assert.deepEqual(admin, { listeners: [{ host: '0.0.0.0', port: 9000, explicit: true }] });
});
