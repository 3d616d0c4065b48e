import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { type AuthBlock, openAdmission } from '../../../shared/admission/admit.ts';
import type { AuthBlockConfig } from '../../../shared/admission/auth-section.ts';
import type { AdmissionMethod } from '../../../shared/admission/methods.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import type { Identifier } from '../../../shared/base/identifier.ts';
import { toRequest } from './admission-request.ts';

const block = (name: string, rest: Partial<AuthBlockConfig>): AuthBlockConfig => ({
  ...{ name, ips: [], all: false, domains: [], addresses: [] },
  ...{ verifications: ['http'], challenges: ['http-01'], storage: 'none' },
  accounts: [{ account: 'default' }],
  ...rest,
});

const mail = block('mail', { ips: ['192.0.2.0/24'], domains: ['mail.example.org'] });
const secure = block('secure', {
  ips: ['192.0.2.7'],
  hmac: { type: 'sha256', keys: ['secret'] },
  domains: ['*.example.org'],
  verifications: ['dns'],
  challenges: ['dns-01'],
  storage: 'file',
});
const open = block('open', { all: true, domains: ['*.test.example.net'], addresses: ['198.51.100.0/24'] });

const body = Buffer.from('a CSR');
const digest = createHmac('sha256', 'secret').update(body).digest();
const from = (clientIp: string) => toRequest({ clientIp });
const signed = (clientIp: string) => toRequest({ clientIp, claim: { hash: 'sha256', digest } });
const dns = (...names: string[]): Identifier[] => names.map(value => ({ type: 'dns', value }));
const namesOf = (blocks: { name: string }[]) => blocks.map(({ name }) => name);

function assertDenied(run: () => unknown, detail: string) {
  assert.throws(run, (error: IssuanceError) => {
    assert.ok(error instanceof IssuanceError && error.code === 'denied', String(error));
    assert.equal(error.message, detail);
    return true;
  });
}

const admission = openAdmission([mail, secure, open]);

test('possible() gives the blocks whose methods can all still hold, in their order', () => {
  assert.deepEqual(namesOf(admission.possible(signed('192.0.2.7'))), ['mail', 'secure', 'open']);
  assert.deepEqual(namesOf(admission.possible(from('192.0.2.7'))), ['mail', 'open']);
  assert.deepEqual(namesOf(admission.possible(signed('203.0.113.1'))), ['open']);
});

test('possible() denies when no block is left, and tells nothing of the blocks', () => {
  const closed = openAdmission([mail, secure]);
  assertDenied(
    () => closed.possible(signed('203.0.113.1')),
    'no auth block admits 203.0.113.1; add this address as an ip line to an [auth] block on the server, and sign with the hash that hmac_type there names',
  );
  const hint =
    'no auth block admits 203.0.113.1 without an HMAC in an Authentication header, or a token; use quarry-get with --hmac-key-file or --token-file, or add this address as an ip line to an [auth] block on the server';
  assertDenied(() => closed.possible(from('203.0.113.1')), hint);
  assertDenied(
    () => openAdmission([]).possible(signed('192.0.2.7')),
    'no auth block admits 192.0.2.7; add this address as an ip line to an [auth] block on the server, and sign with the hash that hmac_type there names',
  );
});

test('possible() says that version 2 is needed where every block that could match demands it', () => {
  const demanding = { ...secure, hmac: { ...secure.hmac, version: 2 } } as AuthBlockConfig;
  const stranger = 'no auth block admits 192.0.2.7';
  const plain = `${stranger}; add this address as an ip line to an [auth] block on the server, and sign with the hash that hmac_type there names`;
  const hint = `${stranger} with an HMAC of version 1; it takes one of version 2 (hmac2), as quarry-get sends it`;
  const deny = (configs: AuthBlockConfig[], words: string, clientIp = '192.0.2.7') =>
    assertDenied(() => openAdmission(configs).possible(signed(clientIp)), words);
  deny([demanding], hint);
  deny([block('elsewhere', { ips: ['198.51.100.1'], domains: ['*'] }), demanding], hint);
  deny([{ ...demanding, ips: ['198.51.100.1'] }], plain);
  deny([{ ...demanding, token: true }], plain);
  deny([{ ...demanding, hmac: { type: 'sha512', keys: ['s3cret'], version: 2 } }], plain);
  const both = openAdmission([demanding, secure]);
  assert.deepEqual(both.possible(signed('192.0.2.7')).length, 1);
  const without = `${stranger} without an HMAC in an Authentication header, or a token; use quarry-get with --hmac-key-file or --token-file, or add this address as an ip line to an [auth] block on the server`;
  assertDenied(() => openAdmission([demanding]).possible(from('192.0.2.7')), without);
});

test('a block without methods admits nobody', () => {
  const careless = openAdmission([block('careless', { domains: ['*'] })]);
  assertDenied(
    () => careless.possible(signed('192.0.2.7')),
    'no auth block admits 192.0.2.7; add this address as an ip line to an [auth] block on the server, and sign with the hash that hmac_type there names',
  );
});

test('a block with all = yes still demands its other methods', () => {
  const both = openAdmission([block('both', { all: true, ips: ['192.0.2.0/24'], domains: ['*'] })]);
  assert.throws(() => both.possible(from('203.0.113.1')));
});

test('verified() leaves the blocks whose HMAC matches the bytes', async () => {
  const request = signed('192.0.2.7');
  const blocks = admission.possible(request);
  assert.deepEqual(namesOf(await admission.verified(blocks, request, body)), ['mail', 'secure', 'open']);
  const others = await admission.verified(blocks, request, Buffer.from('another'));
  assert.deepEqual(namesOf(others), ['mail', 'open']);
});

test('verified() says by what each block knows the client, and tells no secret', async () => {
  const keys = ['first', 'secret', 'third'];
  const second = block('second', { hmac: { type: 'sha256', keys }, domains: ['*'] });
  const several = openAdmission([mail, secure, open, second]);
  const request = signed('192.0.2.7');
  const blocks = await several.verified(several.possible(request), request, body);
  assert.deepEqual(
    blocks.map(({ name, by }) => [name, by]),
    [
      ['mail', 'address'],
      ['secure', 'address, hmac key 1'],
      ['open', 'all'],
      ['second', 'hmac key 2'],
    ],
  );
  assert.equal(several.admit(blocks, dns('www.example.org')).by, 'address, hmac key 1');
});

/** A block whose one method says this of every request. */
const saying = (verdict: Awaited<ReturnType<AdmissionMethod['holds']>>) => ({
  ...(openAdmission([block('told', { all: true, domains: ['*.example.org'] })]).blocks[0] as AuthBlock),
  methods: [{ possible: () => true, holds: async () => verdict }],
});

test('verified() narrows the names of a block to those that the proof of its client admits', async () => {
  const mayHave = ({ value }: Identifier) => value === 'web1.example.org' || value === 'web1.example.net';
  const told = saying({ by: 'token web1', mayHave, clientNames: ['web1.example.*'] });
  const [narrow] = await admission.verified([told], from('192.0.2.7'), body);
  assert.ok(narrow);
  assert.deepEqual([narrow.by, narrow.clientNames], ['token web1', ['web1.example.*']]);
  assert.equal(admission.find([narrow], dns('web1.example.org')), narrow);
  for (const name of ['web2.example.org', 'web1.example.net'])
    assertDenied(
      () => admission.admit([narrow], dns(name)),
      `not admitted: ${name}; the token or the certificate of this client is for other names`,
    );
  assert.equal(admission.find([told], dns('web2.example.org')), told, 'for this request alone');
});

test('verified() denies in the words of the method that has some, where no block is left', async () => {
  const told = saying({ refused: 'the token has ended' });
  const refused = admission.verified([told, saying(undefined)], from('192.0.2.7'), body);
  await assert.rejects(refused, { code: 'denied', message: 'the token has ended' });
  const others = await admission.verified([told, saying({ by: 'all' })], from('192.0.2.7'), body);
  assert.deepEqual(
    others.map(({ by }) => by),
    ['all'],
  );
});

test('verified() denies when only an HMAC could have held', async () => {
  const closed = openAdmission([secure]);
  const request = signed('192.0.2.7');
  const wrong = closed.verified(closed.possible(request), request, Buffer.from('another'));
  await assert.rejects(wrong, {
    code: 'denied',
    message:
      'the HMAC does not match; compare the keys, and send the file as it was signed (curl --data-binary, not -d)',
  });
});

test('admit() gives the first block that has every name, with its solver and storage', () => {
  const blocks = admission.possible(signed('192.0.2.7'));
  assert.equal(admission.admit(blocks, dns('mail.example.org')).name, 'mail');
  const { name, verifications, storage } = admission.admit(
    blocks,
    dns('mail.example.org', 'www.example.org'),
  );
  assert.deepEqual([name, verifications, storage], ['secure', ['dns'], 'file']);
});

test('admit() refuses names that none of the verifications of the block can prove', () => {
  const [http, dns, both] = (
    [['http-01'], ['dns-01'], ['dns-01', 'http-01']] as AuthBlockConfig['challenges'][]
  ).map(challenges => {
    const opened = openAdmission([{ ...open, domains: ['*'], challenges }]);
    return (name: Identifier) => opened.admit(opened.possible(from('192.0.2.1')), [name]).name;
  });
  const wildcard: Identifier = { type: 'dns', value: '*.example.org' };
  const address: Identifier = { type: 'ip', value: '198.51.100.1' };
  assert.equal(dns?.(wildcard), 'open');
  assert.equal(both?.(wildcard), 'open');
  assert.equal(both?.(address), 'open');
  assert.equal(http?.(address), 'open');
  assertDenied(
    () => http?.(wildcard),
    'not possible for *.example.org: it takes dns-01, and there is only http-01 for it; name a verification of that kind in an [auth] block on the server, or leave the wildcard out',
  );
  assertDenied(
    () => dns?.(address),
    'not possible for 198.51.100.1: it takes http-01 or tls-alpn-01, and there is only dns-01 for it; name a verification of that kind in an [auth] block on the server',
  );
});

test('admit() names the first name that no block has', () => {
  const blocks = admission.possible(signed('192.0.2.7'));
  const run = () => admission.admit(blocks, dns('mail.example.org', 'www.example.net', 'b.example.net'));
  assertDenied(
    run,
    'not admitted: www.example.net; add it as a domain line to an [auth] block on the server',
  );
});

test('admit() does not put the names of two blocks together', () => {
  const blocks = admission.possible(signed('192.0.2.7'));
  const run = () => admission.admit(blocks, dns('mail.example.org', 'a.test.example.net'));
  assertDenied(run, 'not admitted together: no auth block has all of these names; post a CSR for fewer');
});

test('admit() lets an address only through an address line, never through a domain line', () => {
  const address = (value: string): Identifier[] => [{ type: 'ip', value }];
  const blocks = admission.possible(from('203.0.113.1'));
  assert.equal(admission.admit(blocks, address('198.51.100.4')).name, 'open');
  assertDenied(
    () => admission.admit(blocks, address('192.0.2.1')),
    'not admitted: 192.0.2.1; add it as an address line to an [auth] block on the server',
  );
  const starred = openAdmission([block('starred', { all: true, domains: ['*'] })]);
  const any = starred.possible(from('203.0.113.1'));
  assertDenied(
    () => starred.admit(any, address('192.0.2.1')),
    'not admitted: 192.0.2.1; add it as an address line to an [auth] block on the server',
  );
});

test('admit() refuses an empty list of names', () => {
  const blocks = admission.possible(from('203.0.113.1'));
  assertDenied(() => admission.admit(blocks, []), 'there are no names to admit');
});

test('a block without domains has no name', () => {
  const bare = openAdmission([block('bare', { all: true })]);
  assertDenied(
    () => bare.admit(bare.possible(from('::1')), dns('example.org')),
    'not admitted: example.org; add it as a domain line to an [auth] block on the server',
  );
});
