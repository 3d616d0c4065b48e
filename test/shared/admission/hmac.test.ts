import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  bearsSeal,
  hashNames,
  hmacMethod,
  openSeals,
  parseHmacHeader,
  withSeal,
} from '../../../shared/admission/hmac.ts';
import type { TakeOnce } from '../../../shared/admission/hmac2.ts';
import { toRequest } from './admission-request.ts';

const body = Buffer.from('-----BEGIN …\r\n\xff\n');
const hex = createHmac('sha256', 'old').update(body).digest('hex');
const claim = { hash: 'sha256', digest: Buffer.from(hex, 'hex') };
const other = hex.replace(/./g, '0');

const readable = [
  `hmac name=sha256, hash=${hex}`,
  `hmac name=sha256 hash=${hex}`,
  `hmac name=sha256,hash=${hex}`,
  `hmac hash=${hex}, name=sha256`,
  `HMAC Name=SHA256, Hash=${hex.toUpperCase()}`,
  `  hmac   name="sha256" ,  hash="${hex}" `,
  `hmac name=sha2-256, hash=${hex}`,
  `hmac name=SHA2_256, hash=${hex}`,
  `hmac name=sha-256, hash=${hex}`,
  `hmac name=sha256, hash=${hex}, id=7`,
];

for (const header of readable) {
  test(`parseHmacHeader() reads ${header.replaceAll(hex, '<hex>')}`, () => {
    assert.deepEqual(parseHmacHeader({ authentication: header }), claim);
    assert.deepEqual(parseHmacHeader({ authorization: header }), claim);
  });
}

const unreadable = [
  '',
  'hmac',
  'hmac ',
  'hmac name=sha256',
  `hmac hash=${hex}`,
  `hmac name=, hash=${hex}`,
  'hmac name=sha256, hash=',
  'hmac name=sha256, hash=xyz',
  `hmac name=sha256, hash=${hex}0`,
  `hmac name=sha256, hash="${hex}`,
  `hmac name=sha257, hash=${hex}`,
  `hmac name=md5, hash=${hex}`,
  `hmac name=sha1, hash=${hex}`,
  `hmac name=constructor, hash=${hex}`,
  `hmac name=sha256, name=sha512, hash=${hex}`,
  `hmac name=sha256, hash=${hex}, hash=${other}`,
  `hmac name=sha256, hash=${hex}, hmac name=sha256, hash=${hex}`,
  `hmacname=sha256, hash=${hex}`,
  `Basic name=sha256, hash=${hex}`,
];

for (const header of unreadable) {
  test(`parseHmacHeader() reads nothing from ${header.replaceAll(hex, '<hex>') || 'an empty header'}`, () => {
    assert.equal(parseHmacHeader({ authentication: header }), undefined);
    assert.equal(parseHmacHeader({ authorization: header }), undefined);
  });
}

test('parseHmacHeader() prefers Authentication, when it holds an HMAC', () => {
  const [mine, theirs] = [`hmac name=sha256, hash=${hex}`, `hmac name=sha256, hash=${other}`];
  assert.deepEqual(parseHmacHeader({ authentication: mine, authorization: theirs }), claim);
  assert.deepEqual(parseHmacHeader({ authentication: 'Basic x', authorization: mine }), claim);
  assert.deepEqual(parseHmacHeader({ authentication: ['Basic x'], authorization: 'Bearer x' }), undefined);
  assert.deepEqual(parseHmacHeader({ authentication: [mine, theirs] }), undefined);
  assert.deepEqual(parseHmacHeader({ authentication: 'hmac name=x', authorization: mine }), undefined);
});

/** Nothing of version 1 is taken once only. */
const never: TakeOnce = () => Promise.reject(new Error('asked'));
const method = hmacMethod('web', { type: 'sha256', keys: ['new', 'old'] }, never);
const holds = (digest: string, hash = 'sha256') =>
  method.holds(toRequest({ claim: { hash, digest: Buffer.from(digest, 'hex') } }), body);
const first = { by: 'hmac key 1' };

test('hmacMethod() holds for each of its keys, and says which', () => {
  for (const [key, by] of [
    ['new', 'hmac key 1'],
    ['old', 'hmac key 2'],
  ] as const)
    assert.deepEqual(holds(createHmac('sha256', key).update(body).digest('hex')), { by });
});

test('parseHmacHeader() reads a header once, but for one that is good for one request alone', () => {
  const [authentication = ''] = readable;
  const read = parseHmacHeader({ authentication });
  assert.deepEqual(read, claim);
  assert.equal(parseHmacHeader({ authentication }), read);
  assert.equal(read?.digest.buffer.byteLength, hex.length / 2, 'nothing else is kept with it');
  assert.equal(parseHmacHeader({ authorization: `Bearer x, ${authentication}`, authentication }), read);
  const once = `hmac2 name=sha256, time=1, nonce=abcdefghijklmnop, hash=${hex}`;
  assert.notEqual(parseHmacHeader({ authentication: once }), parseHmacHeader({ authentication: once }));
  assert.deepEqual(parseHmacHeader({ authentication: once })?.once, { time: '1', nonce: 'abcdefghijklmnop' });
});

test('hmacMethod() does not hold for another key, body, length or hash', () => {
  assert.equal(holds(createHmac('sha256', 'foreign').update(body).digest('hex')), undefined);
  assert.equal(holds(createHmac('sha256', 'old').update(`${body} `).digest('hex')), undefined);
  assert.equal(holds(hex.slice(0, 32)), undefined);
  assert.equal(holds(`${hex}00`), undefined);
  assert.equal(holds(''), undefined);
  assert.equal(holds(createHmac('sha512', 'old').update(body).digest('hex'), 'sha512'), undefined);
  assert.equal(holds(hex, 'sha512'), undefined);
  assert.equal(method.holds(toRequest(), body), undefined);
});

test("hmacMethod() is possible only for a claim with its hash's name", () => {
  assert.equal(method.possible(toRequest({ claim })), true);
  assert.equal(method.possible(toRequest({ claim: { ...claim, hash: 'sha512' } })), false);
  assert.equal(method.possible(toRequest()), false);
});

test('hmacMethod() takes its keys as UTF-8', () => {
  const umlaut = hmacMethod('web', { type: 'sha256', keys: ['schlüssel'] }, never);
  const digest = createHmac('sha256', Buffer.from('schlüssel', 'utf8')).update(body).digest();
  assert.deepEqual(umlaut.holds(toRequest({ claim: { hash: 'sha256', digest } }), body), first);
});

for (const type of hashNames)
  test(`hmacMethod() computes the HMAC with ${type} as OpenSSL does, with keys below, at and above its block`, () => {
    // No hash here works on blocks of more than 144 bytes.
    for (const length of [
      0, 1, 63, 64, 65, 71, 72, 73, 103, 104, 105, 127, 128, 129, 135, 136, 137, 143, 144, 145, 500,
    ]) {
      const key = 'k'.repeat(length);
      for (const message of [Buffer.alloc(0), body, Buffer.alloc(5_000, 'CSR')]) {
        const digest = createHmac(type, key).update(message).digest();
        const request = toRequest({ claim: { hash: type, digest } });
        const { holds } = hmacMethod('web', { type, keys: [key] }, never);
        assert.deepEqual(holds(request, message), first, `a key of ${length} bytes`);
        digest[digest.length - 1] = (digest.at(-1) ?? 0) ^ 1;
        assert.equal(holds(request, message), undefined);
      }
    }
  });

test('hmacMethod() is asked about many messages, none of which changes what it says of the next', () => {
  const messages = Array.from({ length: 50 }, (_, at) => Buffer.from(`message ${at}`));
  for (const message of [...messages, ...messages]) {
    const digest = createHmac('sha256', 'new').update(message).digest();
    assert.deepEqual(method.holds(toRequest({ claim: { hash: 'sha256', digest } }), message), first);
    assert.equal(method.holds(toRequest({ claim: { hash: 'sha256', digest } }), body), undefined);
  }
});

test("the header that macen's documented command prints is accepted, with every hash of OpenSSL's", t => {
  const folder = mkdtempSync(join(tmpdir(), 'quarry-hmac-'));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'domain.csr'), body);
  const toHeader = `sed -e 's/HMAC-\\(.*\\)(.*)= *\\(.*\\)/Authentication: hmac name=\\L\\1\\E, hash=\\2/'`;
  for (const type of [
    'sha256',
    'sha384',
    'sha512',
    'sha512-256',
    'sha3-256',
    'blake2b512',
    'blake2s256',
    'ripemd160',
  ]) {
    const command = `openssl dgst -${type} -hmac key domain.csr | ${toHeader}`;
    const line = execFileSync('sh', ['-c', command], { cwd: folder, encoding: 'utf8' }).trim();
    const claim = parseHmacHeader({ authentication: line.replace('Authentication: ', '') });
    const request = toRequest({ claim });
    assert.deepEqual(hmacMethod('web', { type, keys: ['key'] }, never).holds(request, body), first, line);
  }
});

test('withSeal() seals for one purpose, and bearsSeal() takes nothing else that Redis may hold', () => {
  const [seals, others] = [openSeals(Buffer.from('our secret')), openSeals(Buffer.from('their secret'))];
  const sealed = withSeal(seals, 'order 1', { url: 'https://ca.example/1', turn: 2 });
  assert.ok(bearsSeal(seals, 'order 1', JSON.parse(JSON.stringify(sealed))));
  assert.equal(bearsSeal(seals, 'order 2', sealed), false);
  assert.equal(bearsSeal(others, 'order 1', sealed), false);
  assert.equal(bearsSeal(seals, 'order 1', { ...sealed, turn: 3 }), false);
  for (const value of [null, 'text', 7, [], {}, { seal: 7 }])
    assert.equal(bearsSeal(seals, 'order 1', value), false, JSON.stringify(value));
});

test('hmacMethod() computes the HMAC of a body once for each Buffer, and for each of two with the same bytes', () => {
  const { holds } = hmacMethod('web', { type: 'sha256', keys: ['new', 'old'] }, never);
  const posted = Buffer.from(body);
  const request = toRequest({ claim });
  assert.deepEqual(holds(request, posted), { by: 'hmac key 2' });
  posted.fill(0); // nobody does that: it shows what is remembered
  assert.deepEqual(holds(request, posted), { by: 'hmac key 2' });
  assert.equal(holds(request, Buffer.from(posted)), undefined);
  assert.deepEqual(holds(request, Buffer.from(body)), { by: 'hmac key 2' });
});
