import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { suite, test } from 'node:test';
import { openVerifier, type PublicJwk, parseRequest, thumbprintOf } from '../../../shared/acme-server/jws.ts';
import { type Alg, type JwsHeader, macJws, makeClientKey, signJws } from '../../support/acme-jws.ts';

const algs: Alg[] = ['RS256', 'ES256', 'ES384', 'ES512', 'EdDSA'];
const key = makeClientKey();
const good = {
  alg: 'ES256',
  jwk: key.jwk,
  nonce: 'bm9uY2U',
  url: 'https://quarry.example.org/acme/new-account',
};
const text = (value: unknown) => Buffer.from(JSON.stringify(value));
const signed = (header: JwsHeader, payload = '{}', by = key) => signJws(header, payload, by);
const parse = (header: JwsHeader) => parseRequest(text(signed(header)));
const parseKey = (jwk: unknown, alg = 'ES256') => parse({ ...good, alg, jwk });

const { kid: _, ...withoutKid } = { ...good, kid: '' };
const { jwk: __, ...withoutJwk } = good;

suite('a request', () => {
  test('is told apart from what only looks like one', () => {
    const jws = signed(good);
    for (const [body, detail] of [
      [{ ...jws, header: {} }, 'the request has an unprotected header'],
      [
        { payload: jws.payload, signatures: [jws] },
        'the request has several signatures: send a flattened JWS',
      ],
      [{ ...jws, signatures: [] }, 'the request has several signatures: send a flattened JWS'],
      [{ ...jws, signature: undefined }, 'the signature of the request is not base64url'],
      [{ ...jws, payload: {} }, 'the payload of the request is not base64url'],
      [{ ...jws, payload: `${jws.payload}=` }, 'the payload of the request is not base64url'],
      [{ ...jws, payload: 'a' }, 'the payload of the request is not base64url'],
      [{ ...jws, protected: 'e30' }, 'the protected header of the request has no alg'],
      [{ ...jws, protected: '' }, 'the protected header of the request is not a JSON object'],
      [[jws], 'the request is not a JSON object'],
      [`${jws.protected}.${jws.payload}.${jws.signature}`, 'the request is not a JSON object'],
    ] as const)
      assert.throws(() => parseRequest(text(body)), { kind: 'malformed', message: detail });
  });

  test('says all in its protected header that the RFC demands, and nothing that changes how it is read', () => {
    const where = 'the protected header of the request';
    for (const [header, detail] of [
      [{ ...good, crit: ['b64'] }, `${where} has crit`],
      [{ ...good, b64: false }, `${where} has b64`],
      [{ ...good, alg: undefined }, `${where} has no alg`],
      [{ ...good, alg: ['ES256'] }, `alg in ${where} is not a text`],
      [{ ...good, kid: 'https://quarry.example.org/acme/account/1' }, `${where} needs either kid or jwk`],
      [withoutJwk, `${where} needs either kid or jwk`],
      [{ ...withoutJwk, kid: 5 }, `kid in ${where} is not a text`],
      [{ ...good, url: undefined }, 'the protected header has no url'],
      [{ ...good, url: null }, `url in ${where} is not a text`],
      [`{"alg":"ES256",${JSON.stringify(good).slice(1)}`, `${where} has a name twice`],
    ] as const)
      assert.throws(() => parse(header as JwsHeader), { kind: 'malformed', message: detail });
    assert.throws(() => parse({ ...good, nonce: undefined }), { kind: 'badNonce' });
    for (const nonce of ['', 'bm9uY2U=', 'a b', 'n', 7])
      assert.throws(() => parse({ ...good, nonce }), { kind: 'malformed' });
    assert.equal(parse({ ...withoutKid, typ: 'of no meaning' }).header.url, good.url);
  });

  test('is refused with the algorithms that are taken, where it has another', () => {
    const taken = {
      kind: 'badSignatureAlgorithm',
      algorithms: ['RS256', 'ES256', 'ES384', 'ES512', 'EdDSA'],
    };
    for (const alg of ['none', 'HS256', 'RS1', 'RS384', 'PS256', 'ES256K', 'es256', ''])
      assert.throws(() => parse({ ...good, alg }), taken, alg);
    // An algorithm that is taken, but by another kind of key.
    for (const alg of algs.filter(one => one !== 'ES256'))
      assert.throws(() => parse({ ...good, alg }), taken);
  });
});

suite('a key in a request', () => {
  test('is taken with its public members alone', () => {
    for (const alg of algs) {
      const { jwk } = makeClientKey(alg);
      const parsed = parseKey({ ...jwk, use: 'sig', kid: 'mine', x5u: 'https://example.org' }, alg);
      assert.deepEqual(parsed.header.jwk, jwk);
    }
  });

  test('is refused where it is private, of another kind, or weak', () => {
    const rsa = (modulusLength: number, publicExponent = 65_537) =>
      generateKeyPairSync('rsa', { modulusLength, publicExponent }).publicKey.export({ format: 'jwk' });
    const k256 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey.export({ format: 'jwk' });
    const { n } = rsa(2048);
    for (const [jwk, reason] of [
      [key.privateKey.export({ format: 'jwk' }), /holds the private key/],
      [{ kty: 'oct', k: 'c2VjcmV0' }, /holds the private key/],
      [{ kty: 'oct' }, /of a kind that is not taken/],
      [{}, /of a kind that is not taken/],
      [k256, /of a kind that is not taken/],
      [{ kty: 'OKP', crv: 'X25519', x: 'AA' }, /of a kind that is not taken/],
      [{ kty: 'EC', crv: 'P-256', x: key.jwk.x }, /has no y/],
      [{ ...key.jwk, x: 5 }, /has no x/],
      [rsa(1024), /has 1024 bits: from 2048 to 8192/],
      [{ kty: 'RSA', n: Buffer.alloc(1025, 255).toString('base64url'), e: 'AQAB' }, /has 8200 bits/],
      [{ kty: 'RSA', n: Buffer.alloc(256).toString('base64url'), e: 'AQAB' }, /has 0 bits/],
      [{ kty: 'RSA', n, e: 'AQ' }, /unusual exponent/],
      [{ kty: 'RSA', n, e: 'Ag' }, /unusual exponent/],
      [{ kty: 'RSA', n, e: n }, /unusual exponent/],
    ] as const)
      assert.throws(() => parseKey(jwk), { kind: 'badPublicKey', message: reason });
    assert.throws(() => parseKey('jwk'), { kind: 'malformed', message: 'the jwk is not a JSON object' });
  });

  test('is refused where it is no point of its curve', async () => {
    const off = { ...key.jwk, y: key.jwk.x } as PublicJwk;
    await assert.rejects(openVerifier(off), { kind: 'badPublicKey', message: 'the jwk is no key' });
  });
});

suite('a signature', () => {
  test('holds for what was signed, by its own key alone', async () => {
    for (const alg of algs) {
      const [own, other] = [makeClientKey(alg), makeClientKey(alg)];
      const verify = await openVerifier(own.jwk as PublicJwk);
      const jws = signed({ ...good, alg, jwk: own.jwk }, '{"a":1}', own);
      const changed = { ...jws, payload: signed(good, '{"a":2}').payload };
      assert.equal(await verify(parseRequest(text(jws))), true, alg);
      assert.equal(await verify(parseRequest(text(changed))), false, alg);
      const foreign = signed({ ...good, alg, jwk: own.jwk }, '{"a":1}', other);
      assert.equal(await verify(parseRequest(text(foreign))), false, alg);
      assert.equal(await verify(parseRequest(text({ ...jws, signature: '' }))), false, alg);
    }
  });

  test('is never a MAC that was made with the public key', async () => {
    const rsa = makeClientKey('RS256');
    const verify = await openVerifier(rsa.jwk as PublicJwk);
    const header = { ...good, alg: 'RS256', jwk: rsa.jwk };
    const forged = macJws(header, '{}', Buffer.from(JSON.stringify(rsa.jwk)));
    assert.equal(await verify(parseRequest(text(forged))), false);
  });
});

test('a key that comes in another form is the same key, as there is one account for it', async () => {
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  /** The last digit has bits that no byte has. */
  const otherForm = (text: string) => text.slice(0, -1) + digits[digits.indexOf(text.slice(-1)) + 1];
  const withZero = (text: string) =>
    Buffer.concat([Buffer.alloc(1), Buffer.from(text, 'base64url')]).toString('base64url');
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  const rsa = publicKey.export({ format: 'jwk' }) as { n: string; e: string };
  const ec = key.jwk as { x: string; y: string };
  for (const [alg, usual, other] of [
    ['ES256', ec, { ...ec, x: otherForm(ec.x), y: otherForm(ec.y) }],
    ['RS256', rsa, { ...rsa, n: withZero(rsa.n), e: withZero(rsa.e) }],
  ] as const) {
    assert.notDeepEqual(other, usual);
    const read = [usual, other].map(jwk => parseKey(jwk, alg).header.jwk as PublicJwk);
    assert.deepEqual(read[1], read[0]);
    const [first, second] = await Promise.all(read.map(thumbprintOf));
    assert.equal(second, first);
  }
});
