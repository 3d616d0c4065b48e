import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openAdmission } from '../../../shared/admission/admit.ts';
import type { AuthBlockConfig } from '../../../shared/admission/auth-section.ts';
import type { ShownCertificate } from '../../../shared/admission/client-ca.ts';
import type { AdmissionRequest } from '../../../shared/admission/methods.ts';
import { findUnreachable } from '../../../shared/admission/unreachable-blocks.ts';
import { parseIdentifier } from '../../../shared/base/identifier.ts';

const block = (name: string, rest: Partial<AuthBlockConfig>): AuthBlockConfig => ({
  ...{ name, ips: [], all: false, domains: [], addresses: [] },
  ...{ verifications: ['http'], challenges: ['http-01', 'dns-01'], storage: 'none' },
  accounts: [{ account: 'default' }],
  ...rest,
});

const certificate = (...names: string[]): ShownCertificate => ({
  identifiers: names.map(parseIdentifier),
  ...{ fingerprint: '0123456789abcdef'.repeat(4), publicKey: '', der: Buffer.alloc(0) },
});

const showing = (shown?: ShownCertificate, clientIp = '192.0.2.7'): AdmissionRequest => ({
  ...{ clientIp, method: 'POST', target: '/sign', claim: undefined, certificate: shown },
});

/** The block that admits these names, and by what; or the refusal. */
async function admit(
  configs: AuthBlockConfig[],
  request: AdmissionRequest,
  names: string[],
): Promise<string> {
  const admission = openAdmission(configs, { isRevoked: async fingerprint => revoked.has(fingerprint) });
  try {
    const blocks = await admission.verified(admission.possible(request), request, Buffer.alloc(0));
    const { name, by, clientNames } = admission.admit(blocks, names.map(parseIdentifier));
    return [name, by, ...(clientNames ?? [])].join(' | ');
  } catch (error) {
    return (error as Error).message;
  }
}

const revoked = new Set<string>();

const hosts = block('hosts', {
  clientCerts: ['*.example.org', 'mail?.example.net'],
  domains: ['*.example.com'],
});

test('client-cert takes a certificate of which any one DNS name matches', async () => {
  const by = 'client certificate web1.example.org 0123456789abcdef';
  const one = showing(certificate('web1.example.org', 'else.example'));
  assert.equal(await admit([hosts], one, ['a.example.com']), `hosts | ${by}`);
  const mail = showing(certificate('192.0.2.1', 'mail1.example.net'));
  assert.match(
    await admit([hosts], mail, ['a.example.com']),
    /^hosts \| client certificate mail1\.example\.net /,
  );
  assert.match(
    await admit([hosts], one, ['web1.example.org']),
    /^not admitted: web1\.example\.org; add it as a domain line /,
  );
});

test('no other certificate, none, or one with a fault is taken, and the refusal names one that is good', async () => {
  const refused =
    'no auth block admits 192.0.2.7 without an HMAC in an Authentication header, or a token; use quarry-get with --hmac-key-file or --token-file, or add this address as an ip line to an [auth] block on the server';
  assert.equal(await admit([hosts], showing(), ['a.example.com']), refused);
  assert.equal(
    await admit([hosts], showing(certificate('web1.example.net')), ['a.example.com']),
    `${refused}; none takes the client certificate web1.example.net 0123456789abcdef`,
  );
  assert.equal(await admit([hosts], showing({ fault: 'expired at noon' }), ['a.example.com']), refused);
});

test('a bad certificate keeps nobody from a block that asks for none', async () => {
  const open = block('open', { ips: ['192.0.2.0/24'], domains: ['*.example.com'] });
  assert.equal(
    await admit([hosts, open], showing({ fault: 'expired' }), ['a.example.com']),
    'open | address',
  );
});

test('a certificate that was revoked is refused, and says so', async () => {
  const request = showing({ ...certificate('web1.example.org'), fingerprint: 'fedcba9876543210'.repeat(4) });
  revoked.add('fedcba9876543210'.repeat(4));
  assert.equal(await admit([hosts], request, ['a.example.com']), 'the client certificate was revoked');
});

test('a certificate and an address have to hold together', async () => {
  const both = block('both', { ips: ['192.0.2.7'], clientCerts: ['web1.example.org'], domains: ['*'] });
  const shown = certificate('web1.example.org');
  assert.match(
    await admit([both], showing(shown), ['a.example.com']),
    /^both \| address, client certificate /,
  );
  assert.match(await admit([both], showing(shown, '192.0.2.8'), ['a.example.com']), /^no auth block admits/);
  assert.match(await admit([both], showing(), ['a.example.com']), /^no auth block admits/);
});

test('{client} admits exactly the names of the own certificate, a wildcard as itself alone', async () => {
  const own = block('own', { clientCerts: ['*'], ownNames: ['dns'], domains: ['shared.example.org'] });
  const request = showing(certificate('web1.example.org', '*.web1.example.org', '192.0.2.7'));
  const proof =
    'own | client certificate web1.example.org 0123456789abcdef | web1.example.org | *.web1.example.org';
  assert.equal(await admit([own], request, ['web1.example.org']), proof);
  assert.equal(await admit([own], request, ['*.web1.example.org', 'shared.example.org']), proof);
  for (const name of ['a.web1.example.org', 'web2.example.org', 'example.org', '192.0.2.7'])
    assert.equal(
      await admit([own], request, [name]),
      `not admitted: ${name}; the token or the certificate of this client is for other names`,
    );
  const addresses = block('own', { clientCerts: ['*'], ownNames: ['ip'] });
  assert.match(await admit([addresses], request, ['192.0.2.7']), /\| 192\.0\.2\.7$/);
  assert.equal(
    await admit([addresses], request, ['web1.example.org']),
    'not admitted: web1.example.org; the token or the certificate of this client is for other names',
  );
});

test('the names of one client are none of the next, and none without a client', async () => {
  const own = block('own', { clientCerts: ['*'], ownNames: ['dns'] });
  const admission = openAdmission([own], { isRevoked: async () => false });
  const ask = (name: string) => {
    const request = showing(certificate(name));
    return admission.verified(admission.possible(request), request, Buffer.alloc(0));
  };
  const [first, second] = await Promise.all([ask('web1.example.org'), ask('web2.example.org')]);
  const mayHave = (blocks: typeof first, name: string) =>
    admission.find(blocks, [parseIdentifier(name)]) !== undefined;
  assert.deepEqual(
    [first, second].map(blocks =>
      ['web1.example.org', 'web2.example.org'].map(name => mayHave(blocks, name)),
    ),
    [
      [true, false],
      [false, true],
    ],
  );
  assert.equal(admission.find([...admission.blocks], [parseIdentifier('web1.example.org')]), undefined);
});

test('a block behind one that asks for a certificate is reached, and behind one that asks for none is not', () => {
  const names = (configs: AuthBlockConfig[]) => findUnreachable(configs).map(({ block: { name } }) => name);
  const [all, asking] = [block('all', { all: true, domains: ['*'] }), { ...hosts, domains: ['*'] }];
  const own = block('own', { clientCerts: ['*.example.org'], ownNames: ['dns'] });
  assert.deepEqual(names([asking, all]), []);
  assert.deepEqual(names([all, asking]), ['hosts']);
  assert.deepEqual(names([asking, block('narrower', { clientCerts: ['*.example.org'], domains: ['*'] })]), [
    'narrower',
  ]);
  assert.deepEqual(names([asking, block('other', { clientCerts: ['*.example.com'], domains: ['*'] })]), []);
  assert.deepEqual(names([all, own]), ['own']);
  assert.deepEqual(names([block('some', { all: true, domains: ['*.example.org'] }), own]), []);
});

test('a client without a name of the kind that {client} stands for is told from those that have one', async () => {
  const own = block('own', { clientCerts: ['*.example.org'], ownNames: ['ip'] });
  const admission = openAdmission([own], { isRevoked: async () => false });
  const request = showing(certificate('web1.example.org'));
  const [admitting] = await admission.verified(admission.possible(request), request, undefined);
  assert.equal(admitting?.narrowed, true); // GET /sign/<id> gives it no result for 192.0.2.1
  assert.equal(admitting?.mayHave(parseIdentifier('192.0.2.1')), false);
});
