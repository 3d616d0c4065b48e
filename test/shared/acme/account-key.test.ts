import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { test } from 'node:test';
import { calculateJwkThumbprint, exportJWK } from 'jose';
import { openAccountKey } from '../../../shared/acme/account-key.ts';

const pem = (key: KeyObject) => `${key.export({ type: 'pkcs8', format: 'pem' })}`;
const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve });

test('an account key is told to CAs as another library tells it, with its members sorted and its thumbprint', async () => {
  for (const [{ privateKey, publicKey }, alg, members] of [
    [generateKeyPairSync('rsa', { modulusLength: 2048 }), 'RS256', ['e', 'kty', 'n']],
    [ec('P-256'), 'ES256', ['crv', 'kty', 'x', 'y']],
    [ec('P-384'), 'ES384', ['crv', 'kty', 'x', 'y']],
    [ec('P-521'), 'ES512', ['crv', 'kty', 'x', 'y']],
  ] as const) {
    const account = openAccountKey(pem(privateKey));
    const byJose = await exportJWK(publicKey);
    assert.deepEqual(account.jwk, { ...byJose });
    assert.deepEqual(Object.keys(account.jwk), members);
    assert.equal(account.thumbprint, await calculateJwkThumbprint(byJose));
    assert.equal(account.alg, alg);
  }
});
