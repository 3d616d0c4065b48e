import assert from 'node:assert/strict';
import { hash, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { openRevokedCertificates } from '../../shared/limits/revoked-certificates.ts';
import { makeCertificate } from '../shared/pki/openssl-csr.ts';
import { startOwnRedis } from './own-redis.ts';

const { newStore } = await startOwnRedis();
const clock = { now: () => Date.now() };

test('a certificate is known as revoked, by its digest, until it ends', async () => {
  const store = newStore();
  const revoked = openRevokedCertificates(store, clock);
  const [one, other] = [makeCertificate(), makeCertificate()];
  const [first, second] = [one, other].map(pem => hash('sha256', new X509Certificate(pem).raw)) as [
    string,
    string,
  ];
  await revoked.mark(`${one}\n${other}`);
  assert.deepEqual([await revoked.has(first), await revoked.has(second)], [true, false]);
  const ends = await store.redis.pexpiretime(`${store.prefix}:revoked-certificate:${first}`);
  assert.equal(ends, new X509Certificate(one).validToDate.getTime() + 24 * 3_600_000);
});
