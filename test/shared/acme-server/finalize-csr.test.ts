import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { parseCsrFor } from '../../../shared/acme-server/finalize-csr.ts';
import type { PublicJwk } from '../../../shared/acme-server/jws.ts';
import { readCsr } from '../../../shared/pki/csr.ts';
import { type Alg, makeClientKey, toClientKey } from '../../support/acme-jws.ts';
import { ecKey, makeCsr, rsaKey } from '../pki/openssl-csr.ts';

const identifiers = [{ type: 'dns', value: 'www.example.org' }] as const;
const ofAccount = { kind: 'badCSR', message: /^the CSR is for the key of the account/ };

suite('the CSR of a finalize request', () => {
  test('is for another key than that of the account, of whatever kind this is', () => {
    for (const [file, alg] of [
      [ecKey(), 'ES256'],
      [ecKey('P-384'), 'ES384'],
      [rsaKey(), 'RS256'],
    ] as [string, Alg][]) {
      const csr = readCsr(Buffer.from(makeCsr({ key: file, names: 'DNS:www.example.org' })));
      const { jwk } = toClientKey(createPrivateKey(readFileSync(file)), alg);
      assert.throws(() => parseCsrFor(csr, identifiers, jwk as PublicJwk), ofAccount, alg);
      const other = makeClientKey(alg).jwk as PublicJwk;
      assert.deepEqual(parseCsrFor(csr, identifiers, other).identifiers, identifiers, alg);
    }
  });

  test('is known to be for an RSA key that a client has written with a zero in front', () => {
    const csr = readCsr(Buffer.from(makeCsr({ key: rsaKey(), names: 'DNS:www.example.org' })));
    const { jwk } = toClientKey(createPrivateKey(readFileSync(rsaKey())), 'RS256');
    const padded = Buffer.concat([Buffer.alloc(3), Buffer.from(jwk.n ?? '', 'base64url')]);
    const key = { ...jwk, n: padded.toString('base64url') } as PublicJwk;
    assert.throws(() => parseCsrFor(csr, identifiers, key), ofAccount);
  });
});
