import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tlsAuthority } from '../../support/tls-authority.ts';
import { account, loadText, refusal } from '../setup/load-text.ts';

const block = (...options: string[]) => `[auth "a"]\n${options.join('\n')}\n${account}`;

test('[auth] reads methods, names and references', async () => {
  const { auth, warnings } = await loadText(
    `${block(
      'ip = 192.0.2.0/24',
      'ip = 2001:db8::1',
      'hmac_type = SHA2-256',
      'hmac_key = old-0123456789abcdef # key',
      'hmac_key = new-0123456789abcdef',
      'domain = *.Example.org',
      'domain = mail?.[ab].example.org',
      'address = 198.51.100.0/24',
      'verification = web',
      'storage = keep',
    )}[verification "web"]\ntype = http01\n[storage "keep"]\ntype = redis\n`,
  );
  assert.deepEqual(auth, [
    {
      name: 'a',
      ips: ['192.0.2.0/24', '2001:db8::1'],
      hmac: { type: 'sha256', keys: ['old-0123456789abcdef # key', 'new-0123456789abcdef'] },
      all: false,
      domains: ['*.Example.org', 'mail?.[ab].example.org'],
      addresses: ['198.51.100.0/24'],
      verifications: ['web'],
      challenges: ['http-01'],
      storage: 'keep',
      accounts: [{ account: 'default' }],
    },
  ]);
  assert.equal(warnings.length, 1);
  assert.doesNotMatch(warnings.join(), /old/);
});

test('[auth] hmac = v2 demands that version', async () => {
  const key = 'old-0123456789abcdef';
  const options = ['hmac_type = sha256', `hmac_key = ${key}`, 'hmac = V2', 'domain = a'];
  const { auth } = await loadText(block(...options));
  assert.deepEqual(auth[0]?.hmac, { type: 'sha256', keys: [key], version: 2 });
});

test('[auth] names several verifications in the order of preference', async () => {
  const kinds = '[verification "web"]\ntype = http01\n[verification "other"]\ntype = http01\n';
  const { auth } = await loadText(
    `${block('all = yes', 'domain = a', 'verification = other , web', 'verification = web')}${kinds}`,
  );
  assert.deepEqual(auth[0]?.verifications, ['other', 'web']);
  const said = await refusal(`${block('all = yes', 'domain = a', 'verification = web, dns')}${kinds}`);
  assert.match(said, /verification: no \[verification "dns"\] is defined; defined: "web", "other"$/);
});

test('[auth] keeps the order of the blocks', async () => {
  const { auth } = await loadText(
    `${block('all = yes', 'domain = a')}[auth 9]\nall=1\ndomain=b\n[auth 1]\nall=1\ndomain=c`,
  );
  assert.deepEqual(
    auth.map(({ name }) => name),
    ['a', '9', '1'],
  );
});

test('[auth] reads client-cert, and {client} among the names', async () => {
  const mgmt = `[mgmt]\ntrusted-proxy = 127.0.0.1\nclient-ca = ${(await tlsAuthority()).caFile}\n`;
  const { auth, warnings } = await loadText(
    `${block('client-cert = *.example.org', 'client-cert = a', 'domain = {client}', 'address = {client}')}${mgmt}`,
  );
  const { clientCerts, ownNames, domains, addresses } = auth[0] ?? {};
  assert.deepEqual(
    { clientCerts, ownNames, domains, addresses },
    { clientCerts: ['*.example.org', 'a'], ownNames: ['dns', 'ip'], domains: [], addresses: [] },
  );
  assert.deepEqual(warnings, []);
  const both = await refusal(`${block('all = yes', 'client-cert = a', 'domain = b')}${mgmt}`);
  assert.match(both, /all: admits everyone, which contradicts/);
  const without = await refusal(`${block('ip = 192.0.2.1', 'domain = {client}')}${mgmt}`);
  assert.match(without, /domain: needs client-cert beside \{client\}$/);
});

const refused: [string, string[], RegExp][] = [
  [
    'asks for a certificate that no client is asked for',
    ['client-cert = *', 'domain = {client}'],
    /^main\.ini:2: \[auth "a"\] client-cert: needs client-ca in \[mgmt\]/,
  ],
  [
    'misspells {client}',
    ['all = yes', 'domain = {clients}'],
    /domain: of what stands in braces, only \{client\} is known$/,
  ],
  [
    'would admit everyone without all = yes',
    ['domain = *'],
    /^main\.ini:1: \[auth "a"\]: would admit everyone/,
  ],
  ['says all = no and nothing else', ['all = no', 'domain = *'], /would admit everyone/],
  [
    'says all = yes beside ip',
    ['all = yes', 'ip = 192.0.2.1'],
    /^main\.ini:2: \[auth "a"\] all: admits everyone, which/,
  ],
  [
    'says all = yes beside an HMAC',
    ['all = yes', 'hmac_type = sha256', 'hmac_key = s3cret'],
    /all: admits everyone/,
  ],
  [
    'has a typo in its only method',
    ['ips = 192.0.2.1', 'domain = *'],
    /ips: unknown option, did you mean ip\? known here: ip, hmac_type/,
  ],
  ['spells hmac_key otherwise', ['hmac_type = sha256', 'hmac-key = s3cret'], /hmac-key: unknown option/],
  [
    'has hmac alone',
    ['hmac = v2', 'ip = 192.0.2.1'],
    /^main\.ini:2: .* hmac: needs hmac_type and hmac_key beside it$/,
  ],
  [
    'names a version that there is not',
    ['hmac_type = sha256', 'hmac_key = s3cret', 'hmac = v3'],
    /^main\.ini:4: \[auth "a"\] hmac: is not v2; without it, both versions are taken$/,
  ],
  ['has hmac_type alone', ['hmac_type = sha256', 'ip = 192.0.2.1'], /hmac_type: needs hmac_key/],
  ['has hmac_key alone', ['hmac_key = s3cret'], /^main\.ini:2: \[auth "a"\] hmac_key: needs hmac_type/],
  [
    'has an empty hmac_key',
    ['hmac_type = sha256', 'hmac_key = s3cret', 'hmac_key ='],
    /^main\.ini:4: .*is empty/,
  ],
  [
    'has the key for a type',
    ['hmac_type = s3cret', 'hmac_key = sha256'],
    /hmac_type: unknown hash; known: sha224, sha256/,
  ],
  ['uses md5', ['hmac_type = md5', 'hmac_key = s3cret'], /md5 and sha1 are too weak/],
  ['uses sha1', ['hmac_type = SHA1', 'hmac_key = s3cret'], /md5 and sha1 are too weak/],
  ['names two hashes', ['hmac_type = sha256', 'hmac_type = sha512', 'hmac_key = s3cret'], /is given twice/],
  [
    'has a CIDR with host bits',
    ['ip = 192.0.2.9/24'],
    /ip: has bits set .* did you mean 192\.0\.2\.0\/24\?$/,
  ],
  ['has an empty ip', ['ip ='], /ip: is not an IP address/],
  ['has a bad address', ['all = yes', 'address = example.org'], /address: is not an IP address/],
  ['has an empty domain', ['all = yes', 'domain ='], /domain: is empty$/],
  ['has two domains in a line', ['all = yes', 'domain = a.example b.example'], /domain: has a space or a \//],
  ['has a URL for a domain', ['all = yes', 'domain = https://a.example'], /domain: has a space or a \//],
  ['has a maybe for all', ['all = maybe'], /all: is neither yes nor no$/],
  ['names no storage', ['all = yes', 'storage ='], /storage: names no storage block$/],
  [
    'names an unknown verification',
    ['all = yes', 'verification = x'],
    /no \[verification "x"\] is defined; none is$/,
  ],
];

for (const [what, options, message] of refused) {
  test(`loadConfig() refuses a block that ${what}`, async () => {
    const said = await refusal(block(...options));
    assert.match(said, message);
    assert.doesNotMatch(said, /s3cret|\n/);
  });
}

test('loadConfig() refuses an undefined reference and names the defined ones', async () => {
  const said = await refusal(
    `${block('all = yes', 'storage = c')}[storage "a"]\ntype=none\n[storage "b"]\ntype=none\n`,
  );
  assert.equal(said, 'main.ini:3: [auth "a"] storage: no [storage "c"] is defined; defined: "a", "b"');
});

for (const [what, options, warning] of [
  [
    'matches no CSR',
    ['all = yes'],
    'main.ini:1: [auth "a"]: has neither domain nor address, so it matches no CSR',
  ],
  [
    'admits all of IPv4',
    ['ip = 0.0.0.0/0', 'domain = a'],
    'main.ini:2: [auth "a"] ip: 0.0.0.0/0 admits every IPv4 client',
  ],
  [
    'has a key short enough to be guessed',
    ['hmac_type = sha256', 'hmac_key = change-me', 'domain = a'],
    'main.ini:3: [auth "a"] hmac_key: is short enough to be guessed; make one with: openssl rand -base64 32',
  ],
] as const) {
  test(`loadConfig() warns of a block that ${what}`, async () => {
    assert.deepEqual((await loadText(block(...options))).warnings, [warning]);
  });
}

test('loadConfig() warns of addresses that no verification of the block can prove', async () => {
  const dns = '[verification "dns"]\ntype = dns01-challtestsrv\n';
  const http = '[verification "http"]\ntype = http01\n';
  const warningsOf = async (verification: string) => {
    const options = ['all = yes', 'address = 192.0.2.0/24', `verification = ${verification}`];
    return (await loadText(`${block(...options)}${dns}${http}`)).warnings;
  };
  assert.deepEqual(await warningsOf('dns'), [
    'main.ini:3: [auth "a"] address: holds addresses that no verification of the block can prove: that takes http-01 or tls-alpn-01',
  ]);
  assert.deepEqual(await warningsOf('dns, http'), []);
});
