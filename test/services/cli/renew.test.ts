import assert from 'node:assert/strict';
import { beforeEach, suite, test } from 'node:test';
import { renewCommand } from '../../../services/cli/renew.ts';
import { renewalsCommand } from '../../../services/cli/renewals.ts';
import { type ManagedCertificate, openRenewalIndex } from '../../../shared/renewal/renewal-index.ts';
import { startOwnRedis } from '../../contract/own-redis.ts';

const { url, redis } = await startOwnRedis();
const index = openRenewalIndex({ redis, prefix: '{quarry}' });
const env = { REDIS_URL: url };
const day = 24 * 3_600_000;
const start = Date.parse('2026-01-01T00:00:00Z');

async function add(more: Partial<ManagedCertificate> = {}): Promise<void> {
  const at = start + 60 * day;
  const managed = {
    ...{ id: 'stored/kept/0001', certificate: 'a.1', named: true, names: ['www.example.org'], renews: true },
    ...{ notBefore: start, notAfter: start + 90 * day, info: { none: 'not asked' }, pollFailures: 0 },
    ...{ ahead: false, looked: true, plan: { at, first: at, why: 'with 30 days left' } },
    ...more,
  };
  await index.add(managed, at);
}

/** What the command says when it renews nothing. */
async function refusal(...words: string[]): Promise<string> {
  const error = await Promise.resolve(renewCommand.run(words, { env, write: () => undefined })).then(
    () => undefined,
    error => error,
  );
  return error?.message;
}

suite('quarry renew of what is not renewed', () => {
  beforeEach(() => redis.flushall());

  test('says what would be', async () => {
    await add();
    assert.equal(
      await refusal('mail.example.org'),
      'nothing that Quarry renews is called "mail.example.org": that is what storages with renew-ahead = yes and [renewal] blocks hold; see quarry renewals',
    );
  });

  test('says what to do where the storage does not renew ahead', async () => {
    await add({ renews: false });
    assert.equal(
      await refusal('WWW.example.org'),
      `WWW.example.org is not renewed, as its storage does not renew ahead: its host's next post renews it when it is time; for now, say quarry reissue WWW.example.org FILE, for good, set renew-ahead = yes in [storage "kept"]`,
    );
  });

  test('says that the host has a newer one', async () => {
    await add({ superseded: true });
    assert.match(await refusal('www.example.org'), /as its host has got a certificate with another key$/);
  });

  test('says how to name a certificate with its names in the CN alone, which quarry renewals lists', async () => {
    await add({ names: [] });
    assert.match(
      await refusal('www.example.org'),
      /"www\.example\.org"; one certificate has its names in the CN alone: give its id, which quarry renewals shows$/,
    );
    await add({ names: [], id: 'stored/kept/0002' });
    assert.match(await refusal('www.example.org'), /; 2 certificates have their names in the CN alone/);
    const written: string[] = [];
    await renewalsCommand.run([], { env, write: text => void written.push(text) });
    assert.match(written.join(''), /^no names but in its CN\n {4}stored\/kept\/0001\n/);
  });
});
