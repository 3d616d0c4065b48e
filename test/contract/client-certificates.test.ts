import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openClientCertificates } from '../../services/cli/client-certificates.ts';
import { type ClientCertificate, openCertificates } from '../../shared/acme-server/certificates.ts';
import { openSeals } from '../../shared/admission/hmac.ts';
import { testSeals, testSecret } from '../support/test-seals.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';

const { newStore } = await startOwnRedis();
const issuedBy = { account: 'default', directory: 'https://ca.example/dir' };

function open() {
  const store = newStore();
  const parts = { store, clock: turnedClock(7_000), secret: Buffer.from(testSecret) };
  const certificates = openCertificates(store, testSeals);

  async function keep(fingerprint: string, more: Partial<ClientCertificate> = {}, seals = testSeals) {
    const certificate = {
      ...{ fingerprint, renewalId: `a.${fingerprint}`, chain: '', account: 'account-1', order: 'order-1' },
      ...{
        block: 'web',
        issuedBy,
        notBefore: 1,
        notAfter: 9_000,
        names: [`${fingerprint}.example`],
        ...more,
      },
    };
    const { key, seal } = openCertificates(store, seals);
    await store.redis.set(key(fingerprint), seal(certificate));
  }

  return { keep, certificates, clients: openClientCertificates(parts) };
}

test('all certificates of ACME clients are found, those that are over as superseded, and none without a good seal', async () => {
  const { keep, clients } = open();
  for (let at = 0; at < 450; at++) await keep(`valid-${at}`);
  await keep('revoked', { revoked: 1 });
  await keep('replaced', { replacedBy: 'order-2' });
  await keep('foreign', {}, openSeals(Buffer.from('another secret')));
  const found = new Map((await clients.list()).map(one => [one.id, one]));
  assert.equal(found.size, 452);
  const life = { notBefore: 1, notAfter: 9_000, issuedBy };
  const valid = { id: 'acme/valid-7', names: ['valid-7.example'], ...life, superseded: false };
  assert.deepEqual(found.get('acme/valid-7'), valid);
  assert.deepEqual(
    ['revoked', 'replaced', 'foreign'].map(id => found.get(`acme/${id}`)?.superseded),
    [true, true, undefined],
  );
});

test('those that an operator wants reissued are marked, and no others', async () => {
  const { keep, clients, certificates } = open();
  for (const one of ['a', 'b', 'c']) await keep(one);
  const all = await clients.list();
  await clients.reissue(all.filter(({ id }) => id !== 'acme/b'));
  const marks = await Promise.all(['a', 'b', 'c'].map(async one => (await certificates.read(one))?.reissue));
  assert.deepEqual(marks, [7_000, undefined, 7_000]);
});
