import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { findIssuer } from '../../services/scheduler/poll-renewal-info.ts';
import { renewalInfoId } from '../../shared/acme/renewal-info.ts';
import { openStoring } from '../../shared/base/storage-faults.ts';
import { readCertificate, splitChain } from '../../shared/pki/certificate.ts';
import { csrKeyDigest } from '../../shared/pki/public-key.ts';
import type { IssuedBy } from '../../shared/storage/storage.ts';
import { startFakeCa } from '../shared/acme/fake-ca.ts';
import { connect } from '../shared/acme/open-connection.ts';
import { chain, csr, day, id, leaf, newer, openGround, suggest, web } from './renewal-ground.ts';

const minute = 60_000;
const hour = 60 * minute;

suite('renewing ahead', () => {
  test('makes the job that a post would make today, with what it replaces and by when, at its time and once', async () => {
    await using ground = await openGround();
    ground.turnTo(0.1);
    assert.equal(await ground.look(), 1);
    const planned = await ground.managed();
    assert.equal(planned?.plan.why, 'with 30 days left, as the CA has no renewal information');
    assert.ok(planned.plan.at >= leaf.notBefore + 60 * day && planned.plan.at <= leaf.notBefore + 64.5 * day);
    ground.turnTo(59.9);
    await ground.look();
    assert.deepEqual(ground.jobs, []);
    ground.turnTo(64.6);
    await ground.look();
    await ground.look();
    assert.deepEqual(ground.jobs, [
      {
        csr: csr.pem,
        identifiers: [{ type: 'dns', value: 'a.example.org' }],
        publicKey: csrKeyDigest(csr.der),
        accounts: [{ account: 'account', certificateProfile: 'short' }],
        solvers: ['http'],
        storage: 'kept',
        block: 'web',
        replaces: { id: renewalInfoId(chain), directory: `${ground.ca.url}/dir` },
        due: leaf.notAfter,
        requestId: `renewal-${csr.digest.slice(0, 12)}`,
      },
    ]);
    const [{ event, names, block, job } = {}, ...more] = ground.events;
    assert.deepEqual([event, names, block, job, more], ['renewed', ['a.example.org'], 'web', 'job-1', []]);
  });

  test('tries again what failed by a clock that was ahead', async () => {
    await using ground = await openGround();
    ground.turnTo(64.6);
    const managed = await ground.managed();
    assert.ok(managed);
    const last = ground.clock.now() + 400 * day;
    await ground.index.save({ ...managed, failures: { count: 1, last, reason: 'away' } }, 0);
    await ground.look();
    assert.deepEqual(ground.jobs, []);
    ground.turnTo(65.7);
    await ground.look();
    assert.equal(ground.jobs.length, 1);
  });

  test('keeps what its storage cannot read, without a word of its own, until it can', async () => {
    await using ground = await openGround();
    const { upkeep } = ground.storage;
    assert.ok(upkeep);
    const { faults } = openStoring({ clock: ground.clock, log: ground.log.log });
    const fault = faults.failed('kept', 'read', csr.digest, new Error('EIO'));
    const { read } = upkeep;
    const warnings = () => ground.log.lines.filter(({ level }) => Number(level) >= 40).length;
    upkeep.read = () => Promise.reject(fault);
    ground.turnTo(64.6);
    await ground.look();
    assert.deepEqual([ground.jobs, warnings()], [[], 1]);
    assert.ok(await ground.managed());
    upkeep.read = read;
    ground.turnTo(64.7);
    await ground.look();
    assert.equal(ground.jobs.length, 1);
  });

  test('keeps what lies in a storage that is not configured for a while, until the certificate ends', async () => {
    await using ground = await openGround();
    const { storages } = ground.parts;
    const configured = new Map(storages);
    storages.clear();
    ground.turnTo(64.6);
    await ground.look();
    assert.deepEqual([ground.jobs, ground.told], [[], []]);
    for (const [name, storage] of configured) storages.set(name, storage);
    ground.turnTo(64.7);
    await ground.look();
    assert.equal(ground.jobs.length, 1, 'it is renewed once its storage is there again');
    storages.clear();
    ground.turnTo(91);
    await ground.look();
    assert.equal(await ground.managed(), undefined, 'it has ended');
  });

  test('leaves what only a client may have that shows its certificate to that client, without a message', async () => {
    const own = { ...web, domains: [], clientCerts: ['*'], ownNames: ['dns' as const] };
    await using ground = await openGround([own]);
    ground.turnTo(0.1);
    await ground.look();
    ground.turnTo(75);
    await ground.look();
    assert.deepEqual([ground.jobs, ground.told], [[], []]);
    const managed = await ground.managed();
    assert.deepEqual([managed?.renews, managed?.failures], [false, undefined]);
  });

  test("follows the CA's window, and keeps what was known of it while the CA fails", async () => {
    await using ground = await openGround();
    const { ca } = ground;
    const at = (days: number) => new Date(leaf.notBefore + days * day).toISOString();
    ca.on('/dir', () => ({ body: { renewalInfo: `${ca.url}/info` } }));
    ca.on(`/info/${renewalInfoId(chain)}`, () => ({
      body: { suggestedWindow: { start: at(20), end: at(21) } },
    }));
    ground.turnTo(0.1);
    await ground.look();
    const planned = await ground.managed();
    assert.ok(
      planned && planned.plan.at >= leaf.notBefore + 20 * day && planned.plan.at < leaf.notBefore + 21 * day,
    );
    ca.on(`/info/${renewalInfoId(chain)}`, () => ({ status: 503 }));
    ground.turnTo(10);
    await ground.look();
    const kept = await ground.managed();
    assert.deepEqual([kept?.plan, kept?.pollFailures], [planned.plan, 1]);
    ground.turnTo(21);
    await ground.look();
    assert.equal(ground.jobs.length, 1);
  });

  test('asks the CA that issued the certificate, among several', async () => {
    await using ground = await openGround();
    await using other = await startFakeCa();
    using connection = connect(other.directoryUrl, ground.clock);
    const asked: (IssuedBy | undefined)[] = [];
    ground.parts.caOf = issuedBy => {
      asked.push(issuedBy);
      return findIssuer([{ name: 'other', connection }], issuedBy);
    };
    other.on('/dir', () => ({ body: { renewalInfo: `${other.url}/info` } }));
    const at = (days: number) => new Date(leaf.notBefore + days * day).toISOString();
    other.on(`/info/${renewalInfoId(newer)}`, () => ({
      body: { suggestedWindow: { start: at(20), end: at(21) } },
    }));
    const entry = { csr, chain: newer, leaf: readCertificate(newer) };
    const issuedBy = { account: 'other', directory: other.directoryUrl };
    await ground.storage.put(csr, newer, issuedBy);
    const how = { block: 'web', ahead: false };
    await ground.renewals.issued('kept', { ...entry, issuedBy }, how, ground.clock.now());
    ground.turnTo(0.1);
    await ground.look();
    assert.match((await ground.managed())?.plan.why ?? '', /^the CA suggests/);
    assert.deepEqual(asked, [issuedBy]);
  });

  test('asks no CA that is configured no more, nor names to another one what it replaces, and goes by days', async () => {
    await using ground = await openGround();
    suggest(ground, 80, 81);
    ground.turnTo(0.1);
    await ground.look();
    assert.match((await ground.managed())?.plan.why ?? '', /^the CA suggests/);
    ground.ca.requests.length = 0;
    ground.parts.caOf = issuedBy => findIssuer([], issuedBy);
    ground.turnTo(65);
    await ground.look();
    assert.deepEqual(ground.ca.requests, []);
    const why = `with 30 days left, as the CA at ${ground.ca.directoryUrl} is configured no more`;
    assert.equal((await ground.managed())?.plan.why, why);
    assert.deepEqual([ground.jobs.length, ground.jobs[0]?.replaces], [1, undefined]);
  });

  test('tells once where the CA explains its window, as one event for all that it concerns', async () => {
    await using ground = await openGround();
    const { ca } = ground;
    const at = (days: number) => new Date(leaf.notBefore + days * day).toISOString();
    const explanationURL = 'https://ca.example/incident';
    ca.on('/dir', () => ({ body: { renewalInfo: `${ca.url}/info` } }));
    ca.on(`/info/${renewalInfoId(chain)}`, () => ({
      body: { suggestedWindow: { start: at(20), end: at(21) }, explanationURL },
    }));
    for (const days of [0.1, 2, 4]) {
      ground.turnTo(days);
      await ground.look();
    }
    const detail = `${explanationURL} (to be renewed between ${at(20)} and ${at(21)})`;
    assert.deepEqual(ground.told, [
      { kind: 'renewal-explained', subject: explanationURL, names: ['a.example.org'], detail },
    ]);
  });

  test('renews what expired while no scheduler ran', async () => {
    await using ground = await openGround();
    ground.turnTo(95);
    await ground.look();
    assert.equal(ground.jobs.length, 1);
    assert.deepEqual(
      ground.told.map(({ kind, daysLeft }) => [kind, daysLeft]),
      [['expires-soon', -5]],
    );
  });

  for (const [what, blocks, why] of [
    [
      'its auth block is configured no more',
      [{ ...web, name: 'other' }],
      'no auth block "web" uses storage "kept"',
    ],
    [
      'its auth block uses another storage',
      [{ ...web, storage: 'b' }],
      'no auth block "web" uses storage "kept"',
    ],
    [
      'its auth block does not hold the name any more',
      [{ ...web, domains: ['b.*'] as string[] }],
      'auth block "web" does not hold a.example.org',
    ],
  ] as const)
    test(`renews nothing when ${what}, though another block would admit it`, async () => {
      await using ground = await openGround([...blocks, { ...web, name: 'spare' }]);
      ground.turnTo(65);
      await ground.look();
      assert.deepEqual(ground.jobs, []);
      const reason = `the configuration does not admit it any more: ${why}`;
      assert.equal((await ground.managed())?.failures?.reason, reason);
      assert.deepEqual(ground.told, [
        { kind: 'renewal-failed', subject: id, names: ['a.example.org'], detail: reason },
      ]);
    });

  test('leaves what nobody has fetched since it was issued, says so once, and renews it once somebody has', async () => {
    await using ground = await openGround();
    await ground.index.fetched(id, { at: leaf.notBefore - 1, block: 'web' });
    ground.turnTo(65);
    await ground.look();
    ground.turnTo(66);
    await ground.look();
    assert.deepEqual([ground.jobs.length, (await ground.managed())?.left], [0, true]);
    assert.deepEqual(
      ground.told.map(({ kind }) => kind),
      ['renewed-not-fetched'],
    );
    await ground.renewals.fetched('kept', csr, 'web', ground.clock.now());
    ground.turnTo(67);
    await ground.look();
    assert.deepEqual([ground.jobs.length, (await ground.managed())?.left], [1, false]);
  });

  test('tries again after a failure as the backoff says, tells it once, and is loud near the end', async () => {
    await using ground = await openGround();
    ground.turnTo(65);
    await ground.look();
    ground.fail(1, 'denied', 'the CA refuses');
    ground.clock.turn(minute);
    await ground.look();
    const failed = await ground.managed();
    assert.deepEqual([failed?.failures?.count, failed?.failures?.reason], [1, 'the CA refuses']);
    assert.ok(
      failed &&
        failed.plan.at >= ground.clock.now() + minute &&
        failed.plan.at < ground.clock.now() + 1.2 * minute,
    );
    assert.deepEqual(
      ground.told.map(({ kind, detail }) => [kind, detail]),
      [['renewal-failed', 'the CA refuses']],
    );
    assert.equal((await ground.index.counts(0)).failed, 1);
    ground.clock.turn(2 * minute);
    await ground.look();
    assert.equal(ground.jobs.length, 2);
    ground.fail(2, 'denied', 'the CA refuses');
    ground.turnTo(86);
    await ground.look();
    const alarms = ground.log.lines.filter(({ level }) => level === 50);
    assert.deepEqual(
      alarms.map(({ msg, attempts }) => [msg, attempts]),
      [['renewal failed, and the certificate is about to end', 2]],
    );
    assert.deepEqual(ground.told.at(-1)?.daysLeft ?? 0, 4);
  });

  test('tells of a CA that is away as one event, and not at the first attempt', async () => {
    await using ground = await openGround();
    ground.turnTo(65);
    for (let job = 1; job <= 3; job++) {
      await ground.look();
      ground.fail(job, 'unavailable', 'the CA cannot be reached');
      ground.clock.turn(minute);
      assert.equal(ground.told.length, 0);
      await ground.look();
      ground.clock.turn(day);
    }
    assert.deepEqual(
      ground.told.map(({ subject }) => subject),
      ['renewals/unavailable'],
    );
  });

  test('makes a new job for one that Redis has lost', async () => {
    await using ground = await openGround();
    ground.turnTo(65);
    await ground.look();
    ground.lost.add('job-1');
    ground.clock.turn(minute);
    await ground.look();
    assert.equal(ground.jobs.length, 2);
  });

  test('takes a job that BullMQ has failed for a renewal that has', async () => {
    await using ground = await openGround();
    ground.turnTo(65);
    await ground.look();
    ground.givenUp.add('job-1');
    ground.clock.turn(minute);
    await ground.look();
    const failed = await ground.managed();
    assert.deepEqual([failed?.job, failed?.failures?.reason], [undefined, 'internal error']);
    assert.equal(ground.jobs.length, 1);
    ground.clock.turn(2 * minute);
    await ground.look();
    assert.equal(ground.jobs.length, 2);
  });

  test('takes a certificate that a post has got meanwhile for the successor, and what was told for over', async () => {
    await using ground = await openGround();
    ground.turnTo(65);
    await ground.look();
    await ground.storage.put(csr, newer, ground.issuedBy);
    ground.clock.turn(minute);
    await ground.look();
    assert.equal((await ground.managed())?.notAfter, readCertificate(newer).notAfter);
    ground.clock.turn(7 * hour);
    ground.ended.length = 0;
    await ground.look();
    assert.deepEqual(ground.ended, [id]);
    assert.equal(ground.jobs.length, 1);
  });

  test('forgets what is in no storage any more', async () => {
    await using ground = await openGround();
    await ground.storage.upkeep?.expire(csr.digest, Number.POSITIVE_INFINITY);
    ground.turnTo(65);
    await ground.look();
    assert.equal(await ground.managed(), undefined);
    assert.equal((await ground.index.counts(0)).managed, 0);
  });

  test('renews at once what an operator wants renewed, though nobody fetched it', async () => {
    await using ground = await openGround();
    await ground.redis.del(`${ground.prefix}:renewals:fetched`);
    await ground.index.force(id, ground.clock.now());
    await ground.look();
    assert.equal(ground.jobs.length, 1);
  });

  test('reissues what an operator wants reissued from then on, again after a failure, and has a new plan for the next', async () => {
    await using ground = await openGround();
    ground.turnTo(1);
    await ground.look();
    const at = ground.clock.now() + hour;
    await ground.index.reissue(id, at);
    await ground.look();
    assert.deepEqual([ground.jobs.length, (await ground.managed())?.plan.at], [0, at]);
    ground.clock.turn(hour);
    await ground.look();
    assert.equal(ground.jobs.length, 1);
    ground.fail(1, 'unavailable', 'the CA cannot be reached');
    ground.clock.turn(minute);
    await ground.look();
    ground.clock.turn(2 * minute);
    await ground.look();
    assert.equal(ground.jobs.length, 2);
    const entry = { csr, chain: newer, leaf: readCertificate(newer), issuedBy: ground.issuedBy };
    await ground.storage.put(csr, newer, ground.issuedBy);
    await ground.renewals.issued('kept', entry, { block: 'web', ahead: true }, ground.clock.now());
    assert.equal((await ground.managed())?.reissue, undefined);
    ground.clock.turn(hour);
    await ground.look();
    assert.equal(ground.jobs.length, 2);
  });

  test('has what nobody fetched ordered by the next post, where an operator wants it reissued', async () => {
    await using ground = await openGround();
    await ground.redis.del(`${ground.prefix}:renewals:fetched`);
    ground.turnTo(1);
    await ground.index.reissue(id, ground.clock.now());
    assert.equal((await ground.storage.get(csr))?.chain, chain);
    await ground.look();
    assert.deepEqual([ground.jobs, await ground.storage.get(csr)], [[], undefined]);
  });

  test('goes on with the others when one cannot be looked at', async () => {
    await using ground = await openGround();
    const broken = { ...(await ground.managed()) } as NonNullable<Awaited<ReturnType<typeof ground.managed>>>;
    await ground.index.add({ ...broken, id: 'stored/kept/broken', names: [] }, 0);
    ground.parts.storages.set('kept', {
      renewWithin: 30,
      renewAhead: true,
      storage: {
        ...ground.storage,
        upkeep: {
          ...ground.storage.upkeep,
          read: async (key: string) => {
            if (key === 'broken') throw new Error('it is broken');
            return ground.storage.upkeep?.read(key);
          },
        } as never,
      },
    });
    ground.turnTo(65);
    assert.equal(await ground.look(), 2);
    assert.equal(ground.jobs.length, 1);
    assert.equal(await ground.look(), 0);
  });
});

test('the chain of these tests is named by its renewal id', () => {
  assert.equal(splitChain(chain).length, 1);
  assert.ok(renewalInfoId(chain));
});
