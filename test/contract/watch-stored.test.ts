import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { renewalInfoId } from '../../shared/acme/renewal-info.ts';
import { readCertificate } from '../../shared/pki/certificate.ts';
import { chain, csr, day, id, leaf, newer, openGround, suggest, web } from './renewal-ground.ts';

type Ground = Awaited<ReturnType<typeof openGround>>;
const open = () => openGround([web], { renewAhead: false });

const polls = ({ ca }: Ground) => ca.requests.filter(({ path }) => path.startsWith('/info/')).length;
const renewFrom = async ({ storage }: Ground) => (await storage.upkeep?.read(csr.digest))?.renewFrom;

suite('a stored certificate that Quarry does not renew by itself', () => {
  test('is handed out no longer once the CA has moved its window into the past, and nothing is ordered or told', async () => {
    await using ground = await open();
    suggest(ground, 70, 71);
    ground.turnTo(1);
    await ground.look();
    assert.equal((await ground.storage.get(csr))?.chain, chain);
    suggest(ground, 1, 1.5);
    ground.turnTo(2);
    await ground.look();
    assert.equal(await ground.storage.get(csr), undefined);
    const at = await renewFrom(ground);
    assert.ok(at !== undefined && at >= leaf.notBefore + day && at <= leaf.notBefore + 1.5 * day);
    ground.turnTo(89.9);
    await ground.look();
    assert.deepEqual([ground.jobs, ground.told], [[], []]);
  });

  test('is handed out until a time in a window that ends before its usual renewal, and longer when the CA takes that back', async () => {
    await using ground = await open();
    suggest(ground, 20, 21);
    ground.turnTo(1);
    await ground.look();
    ground.turnTo(19.9);
    assert.equal((await ground.storage.get(csr))?.chain, chain);
    ground.turnTo(21);
    assert.equal(await ground.storage.get(csr), undefined);
    suggest(ground, 70, 71);
    await ground.look();
    assert.equal(await renewFrom(ground), undefined);
    assert.equal((await ground.storage.get(csr))?.chain, chain);
  });

  test('goes by what was known while the CA fails', async () => {
    await using ground = await open();
    suggest(ground, 20, 21);
    ground.turnTo(1);
    await ground.look();
    const at = await renewFrom(ground);
    ground.ca.on(`/info/${renewalInfoId(chain)}`, () => ({ status: 503 }));
    ground.turnTo(3);
    await ground.look();
    assert.deepEqual([await renewFrom(ground), (await ground.managed())?.pollFailures], [at, 1]);
  });

  test('is asked for only while clients fetch it, and no more once it has ended', async () => {
    await using ground = await open();
    suggest(ground, 70, 71);
    await ground.index.fetched(id, { at: leaf.notBefore - 1, block: 'web' });
    ground.turnTo(1);
    assert.equal(await ground.look(), 1);
    assert.equal(polls(ground), 0);
    await ground.renewals.fetched('kept', csr, 'web', ground.clock.now());
    ground.turnTo(2.1);
    await ground.look();
    assert.equal(polls(ground), 1);
    ground.turnTo(91);
    await ground.look();
    assert.deepEqual([await ground.managed(), polls(ground)], [undefined, 1]);
  });

  test('is told of only where the CA explains its window, and in no figure of what is renewed', async () => {
    await using ground = await open();
    suggest(ground, 70, 71, 'https://ca.example/incident');
    ground.turnTo(1);
    await ground.look();
    ground.turnTo(85);
    await ground.look();
    assert.deepEqual(
      ground.told.map(({ kind }) => kind),
      ['renewal-explained'],
    );
    const nothing = { managed: 0, due: 0, failed: 0, soonestEnd: undefined };
    assert.deepEqual(await ground.index.counts(Number.MAX_SAFE_INTEGER), nothing);
  });

  test('is ordered by Quarry where an operator wants it reissued, and by posts meanwhile, and nobody is told', async () => {
    await using ground = await open();
    ground.turnTo(1);
    await ground.look();
    await ground.index.reissue(id, ground.clock.now());
    assert.equal((await ground.index.counts(0)).managed, 1);
    await ground.look();
    assert.equal(ground.jobs.length, 1);
    assert.equal(await ground.storage.get(csr), undefined);
    ground.fail(1, 'denied', 'the CA refuses');
    ground.turnTo(89);
    await ground.look();
    assert.deepEqual([(await ground.managed())?.failures?.reason, ground.told], ['the CA refuses', []]);
    const entry = { csr, chain: newer, leaf: readCertificate(newer), issuedBy: ground.issuedBy };
    await ground.storage.put(csr, newer, ground.issuedBy);
    await ground.renewals.issued('kept', entry, { block: 'web', ahead: true }, ground.clock.now());
    assert.equal((await ground.index.counts(0)).managed, 0);
  });

  test('goes by its usual time where the CA that issued it is configured no more, and is looked at daily', async () => {
    await using ground = await open();
    suggest(ground, 20, 21);
    ground.turnTo(1);
    await ground.look();
    assert.ok(await renewFrom(ground));
    ground.parts.caOf = () => undefined;
    ground.turnTo(2.1);
    await ground.look();
    assert.equal(await renewFrom(ground), undefined);
    assert.deepEqual(await ground.index.due(ground.clock.now() + day - 1, 10), []);
  });

  test('has its successor watched from the beginning, and fetched as its predecessor was', async () => {
    await using ground = await open();
    suggest(ground, 1, 2);
    ground.turnTo(3);
    await ground.look();
    await ground.storage.put(csr, newer, ground.issuedBy);
    ground.turnTo(4.1);
    await ground.look();
    const managed = await ground.managed();
    assert.deepEqual([managed?.notAfter, managed?.renews], [readCertificate(newer).notAfter, false]);
    assert.equal((await ground.index.lastFetches([id]))[0]?.block, 'web');
    assert.equal((await ground.storage.get(csr))?.chain, newer);
  });

  test('is renewed by Quarry from the look on that finds its storage to renew ahead, and the other way round', async () => {
    await using ground = await open();
    const renewAhead = (yes: boolean) =>
      ground.parts.storages.set('kept', { storage: ground.storage, renewWithin: 30, renewAhead: yes });
    ground.turnTo(1);
    await ground.look();
    renewAhead(true);
    ground.turnTo(2.1);
    await ground.look();
    assert.equal((await ground.index.counts(0)).managed, 1);
    renewAhead(false);
    ground.turnTo(65);
    await ground.look();
    assert.deepEqual([(await ground.index.counts(0)).managed, ground.jobs.length], [0, 0]);
    assert.equal((await ground.managed())?.renews, false);
  });
});
