import assert from 'node:assert/strict';
import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { test } from 'node:test';
import { type EcJwk, openEcdsa } from '../../../shared/acme-server/ecdsa.ts';

/** How many signatures are tried: the larger curves take a hundred times as long. */
const curves = {
  'P-256': { hash: 'sha256', tries: 600 },
  'P-384': { hash: 'sha384', tries: 20 },
  'P-521': { hash: 'sha512', tries: 20 },
};

for (const [curve, { hash, tries }] of Object.entries(curves)) {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: curve });
  const isSignature = openEcdsa(publicKey.export({ format: 'jwk' }) as EcJwk);
  const makeSignature = (message: string) =>
    sign(hash, Buffer.from(message), { key: privateKey, dsaEncoding: 'ieee-p1363' });

  test(`a signature by ${curve} holds, whatever its numbers begin with`, () => {
    // A number begins with a zero byte once in 256 times, and with a high bit each other time.
    for (let at = 0; at < tries; at++)
      assert.ok(isSignature(`message ${at}`, makeSignature(`message ${at}`)));
    assert.equal(isSignature('message 1', makeSignature('message 2')), false);
  });

  test(`what is no signature by ${curve} is refused as Node refuses it, and never thrown at`, () => {
    const message = 'a message';
    const good = makeSignature(message);
    const half = good.length / 2;
    const [r, s] = [good.subarray(0, half), good.subarray(half)];
    const [zero, most] = [Buffer.alloc(half), Buffer.alloc(half, 0xff)];
    const flip = (at: number) => good.map((byte, i) => (i === at ? byte ^ 0x81 : byte));
    const changed = Array.from({ length: Math.ceil(good.length / 7) }, (_, at) => flip(7 * at));
    const bad = [[zero, zero], [r, zero], [zero, s], [most, s], [r, most], [s, r], [r], [r, s, s], []];
    for (const signature of [...changed, ...bad.map(parts => Buffer.concat(parts))].map(one =>
      Buffer.from(one),
    )) {
      const options = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const;
      assert.equal(verify(hash, Buffer.from(message), options, signature), false);
      assert.equal(isSignature(message, signature), false, signature.toString('hex'));
    }
    assert.ok(isSignature(message, good));
  });
}
