import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseShamanProfile } from '../../../shared/shaman/profile.ts';

const server = 'https://acme-v02.api.letsencrypt.org/directory';
const parse = (value: object) => parseShamanProfile(value, 'shaman.json');

test("parseShamanProfile() reads concorde's minimal file", () => {
  const profile = parse({
    ...{ server, renewal: 10, authenticators: { 'http-01': 'prove-challenge' } },
    domains: { 'example.com': {} },
  });
  assert.deepEqual([profile.server, profile.renewal, profile.logThreshold], [server, 10, 20]);
  assert.deepEqual([...profile.authenticators], [['http-01', { present: 'prove-challenge' }]]);
  assert.deepEqual(profile.domains, [
    {
      name: 'example.com',
      identifiers: [{ type: 'dns', value: 'example.com' }],
      authenticators: new Map(),
      keyType: 'P-384',
      ...{ certificateProfile: undefined, deploy: undefined, key: undefined },
      ...{ orderUrl: undefined, certificateUrl: undefined, memory: {} },
    },
  ]);
});

test('parseShamanProfile() reads what Quarry adds', () => {
  const { contact, eab, domains } = parse({
    server,
    contact: 'admin@example.org',
    eab: { kid: 'kid-1', hmac_key: 'c2VjcmV0' },
    domains: {
      'Example.org': {
        ...{
          names: ['*.example.org', '2001:DB8::1', 'example.org'],
          key_type: 'rsa2048',
          profile: 'shortlived',
        },
        ...{ deploy: './reload', authenticators: { 'dns-01': { present: 'add', cleanup: 'remove' } } },
      },
    },
  });
  assert.deepEqual([contact, eab], [['mailto:admin@example.org'], { kid: 'kid-1', hmacKey: 'c2VjcmV0' }]);
  const [domain] = domains;
  assert.deepEqual(domain?.identifiers, [
    { type: 'dns', value: 'example.org' },
    { type: 'dns', value: '*.example.org' },
    { type: 'ip', value: '2001:db8::1' },
  ]);
  const { name, keyType, certificateProfile, deploy, authenticators } = domain;
  assert.deepEqual(
    [name, keyType, certificateProfile, deploy],
    ['Example.org', 'RSA-2048', 'shortlived', './reload'],
  );
  assert.deepEqual([...authenticators], [['dns-01', { present: 'add', cleanup: 'remove' }]]);
});

test('parseShamanProfile() passes over keys that it does not know, and challenges that no CA offers any more', () => {
  const old = { 'tls-sni-01': 'prove', 'http-01': null };
  const { authenticators, domains } = parse({
    server,
    authenticators: old,
    owner: 1,
    domains: { 'a.example': { x: 1 } },
  });
  assert.deepEqual([[...authenticators], domains.length], [[], 1]);
});

test('parseShamanProfile() says in one line what is wrong and where', () => {
  const withDomain = (name: string, domain: unknown) => ({ server, domains: { [name]: domain } });
  for (const [value, message] of [
    [{ domains: {} }, 'shaman.json: server: is missing: the URL of the CA'],
    [
      { server: 'http://ca.example/', domains: {} },
      'shaman.json: server: must be https:// (http:// only for this host itself)',
    ],
    [{ server }, 'shaman.json: domains: is missing: the names to be certified'],
    [{ server, domains: [] }, 'shaman.json: domains: must be an object, { … }'],
    [{ server, domains: {}, renewal: '10' }, 'shaman.json: renewal: must be a number, 0 or more'],
    [{ server, domains: {}, account_id: 'x' }, 'shaman.json: account_id: is not a URL'],
    [
      { server, domains: {}, contact: ['a b'] },
      'shaman.json: contact: is neither an e-mail address nor a URL such as mailto:…',
    ],
    [{ server, domains: {}, eab: { kid: 'a' } }, 'shaman.json: eab.hmac_key: is missing'],
    [
      { server, domains: {}, authenticators: { 'http-01': {} } },
      'shaman.json: authenticators.http-01.present: is missing: the program to be run',
    ],
    [withDomain('a.example', null), 'shaman.json: domains."a.example": must be an object, { … }'],
    [
      withDomain('a b', {}),
      'shaman.json: domains."a b": malformed name "a b": its labels may hold only letters, digits and inner hyphens',
    ],
    [
      withDomain('a.example', { names: 'b..example' }),
      'shaman.json: domains."a.example".names: malformed name "b..example": it has an empty label',
    ],
    [
      withDomain('a.example', { names: [7] }),
      'shaman.json: domains."a.example".names: must be a list of texts',
    ],
    [
      withDomain('a.example', { key_type: 'ed25519' }),
      'shaman.json: domains."a.example".key_type: is none of SECP384R1, SECP256R1, RSA2048, RSA3072, RSA4096',
    ],
    [
      withDomain('../etc', {}),
      'shaman.json: domains."../etc": malformed name "../etc": it has an empty label',
    ],
  ] as const) {
    assert.throws(() => parse(value), { name: 'ConfigError', message });
  }
});

test('parseShamanProfile() passes over a memory that somebody has damaged, part by part', () => {
  const deployed = 'ab12';
  const failures = { count: 2, last: '2026-01-02T03:04:05.000Z', detail: 'x' };
  const damaged = { deployed, failures, order: { url: 7 }, renewal: { id: 'a', at: 'soon' }, more: 1 };
  const { domains, memory } = parse({ server, quarry: 'no', domains: { 'a.example': { quarry: damaged } } });
  assert.deepEqual(memory, {});
  const last = Date.UTC(2026, 0, 2, 3, 4, 5);
  assert.deepEqual(domains[0]?.memory, { deployed, failures: { ...failures, last } });
});
