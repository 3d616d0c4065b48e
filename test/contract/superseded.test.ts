import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { renewalInfoId } from '../../shared/acme/renewal-info.ts';
import { readCertificate } from '../../shared/pki/certificate.ts';
import { readCsr } from '../../shared/pki/csr.ts';
import { storedId } from '../../shared/renewal/stored-renewals.ts';
import { makeCertificate, makeCsr, rsaKey } from '../shared/pki/openssl-csr.ts';
import { chain, csr, day, id, leaf, openGround, suggest, web } from './renewal-ground.ts';

const names = 'DNS:a.example.org';
/** Of the same host, once it has a new key. */
const newKey = makeEntry(names);
const newId = storedId('kept', newKey.csr);

function makeEntry(names: string) {
  const chain = makeCertificate({ key: rsaKey(), names, days: 90 });
  const csr = readCsr(Buffer.from(makeCsr({ key: rsaKey(), names })));
  return { csr, chain, leaf: readCertificate(chain) };
}

type Ground = Awaited<ReturnType<typeof openGround>>;

/** As a worker does when it has a certificate. */
async function issue(
  { storage, renewals, clock, issuedBy }: Ground,
  entry: ReturnType<typeof makeEntry>,
  { block = 'web', ahead = false } = {},
): Promise<void> {
  await storage.put(entry.csr, entry.chain, issuedBy);
  await renewals.issued('kept', { ...entry, issuedBy }, { block, ahead }, clock.now());
}

const jobsFor = ({ jobs }: Ground, { pem }: typeof csr) => jobs.filter(job => job.csr === pem).length;

suite('a host with a new key', () => {
  test('that got it by a clock that was ahead has the one renewed that it fetches now', async () => {
    await using ground = await openGround();
    await issue(ground, newKey);
    const newest = { id: storedId('kept', newKey.csr), at: ground.clock.now() + 400 * day };
    await ground.parts.newest.note(
      { block: 'web', storage: 'kept', names: ['a.example.org'] },
      newest,
      false,
    );
    ground.turnTo(65);
    await ground.renewals.fetched('kept', csr, 'web', ground.clock.now());
    await ground.look();
    assert.equal(jobsFor(ground, csr), 1);
  });

  for (const renewAhead of [true, false])
    test(`has its older certificate ${renewAhead ? 'renewed, asked for and told of' : 'asked for'} no more`, async () => {
      await using ground = await openGround([web], { renewAhead });
      suggest(ground, 1, 2, 'https://ca.example/incident');
      ground.turnTo(0.5);
      await issue(ground, newKey);
      for (const days of [2, 65, 85]) {
        ground.turnTo(days);
        await ground.look();
      }
      assert.equal(jobsFor(ground, csr), 0);
      assert.ok(
        ground.ca.requests.some(({ path }) => path.startsWith('/info/')),
        'the newer one is asked for',
      );
      assert.ok(!ground.ca.requests.some(({ path }) => path === `/info/${renewalInfoId(chain)}`));
      assert.ok(!ground.told.some(({ subject }) => subject === id));
      assert.equal((await ground.managed())?.superseded, true);
      assert.equal((await ground.index.counts(0)).managed, renewAhead ? 1 : 0);
      assert.equal((await ground.storage.upkeep?.read(csr.digest))?.chain, chain, 'it is kept to its end');
      ground.turnTo(91);
      await ground.look();
      assert.equal(await ground.managed(), undefined);
    });

  test('does not get its older certificate back when the storage is looked through', async () => {
    await using ground = await openGround();
    ground.turnTo(0.5);
    await issue(ground, newKey);
    ground.turnTo(2);
    await ground.look();
    const entry = { csr, chain, leaf, issuedBy: ground.issuedBy };
    await ground.renewals.found('kept', [{ place: csr.digest, entry }], ground.clock.now());
    ground.turnTo(65);
    await ground.look();
    assert.deepEqual([jobsFor(ground, csr), (await ground.managed())?.superseded], [0, true]);
  });

  test('does not get its older certificate back when an operator wants it reissued', async () => {
    await using ground = await openGround();
    ground.turnTo(0.5);
    await issue(ground, newKey);
    ground.turnTo(2);
    await ground.index.reissue(id, ground.clock.now());
    await ground.look();
    assert.equal(jobsFor(ground, csr), 0);
  });

  test('has the older one renewed again once a client has fetched it, as of two hosts each has a key of its own', async () => {
    await using ground = await openGround();
    ground.turnTo(0.5);
    await issue(ground, newKey);
    ground.turnTo(2);
    await ground.look();
    assert.equal((await ground.managed())?.superseded, true);
    await ground.renewals.fetched('kept', csr, 'web', ground.clock.now());
    ground.turnTo(65);
    await ground.look();
    assert.deepEqual([jobsFor(ground, csr), jobsFor(ground, newKey.csr)], [1, 1]);
  });

  test('has the older one renewed still when the newer one was revoked', async () => {
    await using ground = await openGround();
    ground.turnTo(0.5);
    await issue(ground, newKey);
    await ground.storage.upkeep?.remove(newKey.csr.digest, newKey.chain);
    await ground.renewals.revoked('kept', newKey.csr.digest, newKey);
    ground.turnTo(65);
    await ground.look();
    assert.equal(jobsFor(ground, csr), 1);
  });

  test('is not seen in a certificate of other names, of another block, or that was renewed ahead', async () => {
    await using ground = await openGround([web, { ...web, name: 'other' }]);
    ground.turnTo(0.5);
    await issue(ground, makeEntry('DNS:a.example.org,DNS:b.example.org'));
    await issue(ground, newKey, { block: 'other' });
    await issue(ground, newKey, { ahead: true });
    ground.turnTo(65);
    await ground.look();
    assert.equal(jobsFor(ground, csr), 1);
  });

  test('is seen still after the newer one was renewed ahead', async () => {
    await using ground = await openGround();
    ground.turnTo(0.5);
    await issue(ground, newKey);
    await ground.renewals.fetched('kept', csr, 'web', ground.clock.now() + 1);
    ground.turnTo(30);
    await issue(ground, newKey, { ahead: true });
    ground.turnTo(65);
    await ground.look();
    assert.equal(jobsFor(ground, csr), 0);
    assert.ok(await ground.index.read([newId]));
  });
});
