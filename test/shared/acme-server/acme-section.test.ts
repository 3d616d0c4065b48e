import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseAcme } from '../../../shared/acme-server/acme-section.ts';
import { parseIni } from '../../../shared/config/ini.ts';
import { SectionReader } from '../../../shared/config/section-reader.ts';

function parse(...lines: string[]) {
  const [section] = parseIni(['[acme]', ...lines, ''].join('\n'), 'main.ini');
  assert.ok(section);
  return parseAcme(new SectionReader(section, { env: {}, warnings: [], hidden: [], secretFiles: [] }));
}

const proof = { resolvers: [], httpPort: 80, tlsPort: 443, tries: 6 };

const newAccounts = { count: 100, period: 3_600_000 };

suite('[acme]', () => {
  test('is off where it has no url, and says so where it has anything else', () => {
    assert.deepEqual(parse(), { caaIdentities: [], profiles: {}, newAccounts, proof });
    assert.throws(() => parse('website = https://example.org'), {
      message: 'main.ini:2: [acme] website: needs url beside it',
    });
  });

  test('takes a URL by https with any path or none, without the slash at its end', () => {
    for (const [text, url] of [
      ['https://quarry.example.org/acme', 'https://quarry.example.org/acme'],
      ['https://quarry.example.org/acme/', 'https://quarry.example.org/acme'],
      ['https://QUARRY.example.org:443/', 'https://quarry.example.org'],
      ['https://quarry.example.org:8443', 'https://quarry.example.org:8443'],
      ['https://192.0.2.1/pki/acme-v2', 'https://192.0.2.1/pki/acme-v2'],
      ['https://quarry.example.org/signer', 'https://quarry.example.org/signer'],
      ['https://quarry.example.org/ca-directory', 'https://quarry.example.org/ca-directory'],
      ['http://localhost:1313/acme', 'http://localhost:1313/acme'],
      ['http://127.0.0.1:1313/acme', 'http://127.0.0.1:1313/acme'],
      ['http://[::1]:1313/acme', 'http://[::1]:1313/acme'],
    ])
      assert.equal(parse(`url = ${text}`).url, url);
  });

  test('refuses a URL that clients could not use, and says why', () => {
    for (const [text, why] of [
      ['quarry.example.org', /is not a URL such as/],
      ['http://quarry.example.org/acme', /is not an https URL/],
      ['http://127.0.0.1.example.org/acme', /is not an https URL/],
      ['ftp://127.0.0.1/acme', /is not an https URL/],
      ['https://user:word@quarry.example.org/', /has a user/],
      ['https://quarry.example.org/?a=b', /has a query or a fragment/],
      ['https://quarry.example.org/acme?', /has a query or a fragment/],
      ['https://quarry.example.org/acme#', /has a query or a fragment/],
      ['https://quarry.example.org/a%20b', /other characters/],
      ['https://quarry.example.org//acme', /other characters/],
      ['https://quarry.example.org/sign', /has a path of sign/],
      ['https://quarry.example.org/revoke/acme', /has a path of revoke/],
      ['https://quarry.example.org/acme/directory', /ends with \/directory/],
      ['https://quarry.example.org/directory/', /ends with \/directory/],
    ] as const)
      assert.throws(() => parse(`url = ${text}`), { message: why }, text);
  });

  test('takes what its directory says of it', () => {
    const lines = ['url = https://q.example.org', 'terms-of-service = https://example.org/terms'];
    lines.push('website = https://example.org', 'caa-identity = ca.example', 'caa-identity = other.example');
    lines.push('profile = short: six days', 'profile = long : a year: or so');
    assert.deepEqual(parse(...lines), {
      ...{ url: 'https://q.example.org', termsOfService: 'https://example.org/terms' },
      ...{ website: 'https://example.org', caaIdentities: ['ca.example', 'other.example'] },
      ...{ profiles: { short: 'six days', long: 'a year: or so' }, proof },
      newAccounts,
    });
    assert.equal(parse('url = https://q.example.org', 'new-accounts = off').newAccounts, undefined);
    const daily = { count: 7, period: 86_400_000 };
    assert.deepEqual(parse('url = https://q.example.org', 'new-accounts = 7/d').newAccounts, daily);
    assert.throws(() => parse('url = https://q.example.org', 'website = example.org'), /is not a URL/);
    assert.throws(() => parse('url = https://q.example.org', 'profile = short'), /is not a name and what/);
    const twice = ['profile = short: a', 'profile = short: b'];
    assert.throws(() => parse('url = https://q.example.org', ...twice), /profile: describes short twice/);
  });

  test('says how workers look for what clients prove', () => {
    const lines = ['proof-resolver = 192.0.2.53', 'proof-resolver = [2001:db8::53]:5353'];
    lines.push('proof-http-port = 5002', 'proof-tls-port = 5001', 'proof-tries = 2');
    assert.deepEqual(parse('url = https://q.example.org', ...lines).proof, {
      resolvers: [
        { host: '192.0.2.53', port: 53 },
        { host: '2001:db8::53', port: 5353 },
      ],
      ...{ httpPort: 5002, tlsPort: 5001, tries: 2 },
    });
    for (const [line, why] of [
      ['proof-resolver = ns.example.org', /is not an address/],
      ['proof-http-port = 0', /is not a whole number from 1 to 65535/],
      ['proof-tls-port = https', /is not a whole number/],
      ['proof-tries = 11', /is not a whole number from 1 to 10/],
    ] as const)
      assert.throws(() => parse('url = https://q.example.org', line), { message: why });
  });
});
