import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { renewDue } from '../../services/scheduler/renew-due.ts';
import { lookAtStored, type RenewalParts } from '../../services/scheduler/renew-stored.ts';
import { renewalInfoId } from '../../shared/acme/renewal-info.ts';
import { openAdmission } from '../../shared/admission/admit.ts';
import type { AuthBlockConfig } from '../../shared/admission/auth-section.ts';
import { closeRedis, openRedis, type Redis } from '../../shared/base/redis.ts';
import type { NotifyEvent } from '../../shared/notify/message.ts';
import { readCertificate } from '../../shared/pki/certificate.ts';
import { readCsr } from '../../shared/pki/csr.ts';
import { splitChain } from '../../shared/pki/pem.ts';
import type { SignJobData, SignResult } from '../../shared/queue/sign-job-data.ts';
import { openRenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { openStoredRenewals, storedId } from '../../shared/renewal/stored-renewals.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import type { StorageConfig } from '../../shared/storage/storage-section.ts';
import { startFakeCa } from '../shared/acme/fake-ca.ts';
import { connect } from '../shared/acme/open-connection.ts';
import { makeCertificate, makeCsr } from '../shared/pki/openssl-csr.ts';
import { keptLog } from '../support/kept-log.ts';
import { quietLog } from '../support/quiet-log.ts';
import { type Redis as RedisServer, startRedis } from '../support/redis.ts';
import { turnedClock } from '../support/turned-clock.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const never = new AbortController().signal;

let server: RedisServer;
let redis: Redis;
let prefixes = 0;
before(async () => {
  server = await startRedis();
  redis = openRedis(server.url, 'patient', quietLog);
});
after(async () => {
  closeRedis(redis);
  await server[Symbol.asyncDispose]();
});

const web: AuthBlockConfig = {
  ...{ name: 'web', ips: [], all: true, domains: ['*.example.org'], addresses: [] },
  ...{ verifications: ['http'], challenges: ['http-01'], storage: 'kept', certificateProfile: 'short' },
};
const csr = readCsr(Buffer.from(makeCsr({ names: 'DNS:a.example.org' })));
const chain = makeCertificate({ names: 'DNS:a.example.org', days: 90 });
const leaf = readCertificate(chain);
const newer = makeCertificate({ names: 'DNS:a.example.org', days: 180 });
const id = storedId('kept', csr);

/** One stored certificate that a client got when it was new, and a scheduler whose jobs end as the test says. */
async function openGround(blocks: AuthBlockConfig[] = [web]) {
  const stack = new AsyncDisposableStack();
  const ca = stack.use(await startFakeCa());
  const prefix = `{renew-${++prefixes}}`;
  const clock = turnedClock(leaf.notBefore);
  const log = keptLog();
  const config: StorageConfig = {
    name: 'kept',
    type: 'redis',
    renewWithin: 30,
    renewAhead: true,
    keepExpired: 30,
  };
  const storage = openStorages([config], { store: { redis, prefix }, clock, log: log.log }).get('kept');
  assert.ok(storage);
  const index = openRenewalIndex({ redis, prefix });
  const renewals = openStoredRenewals(new Map([['kept', config]]), { redis, prefix });
  const [jobs, told, ended]: [SignJobData[], NotifyEvent[], string[]] = [[], [], []];
  const results = new Map<string, SignResult>();
  const lost = new Set<string>();
  const parts: RenewalParts = {
    ...{ index, renewals, clock, log: log.log, account: 'account', admission: openAdmission(blocks) },
    connection: stack.use(connect(ca.directoryUrl, clock)),
    storages: new Map([['kept', { storage, days: 30 }]]),
    signQueue: {
      enqueue: async (data: SignJobData) => `job-${jobs.push(data)}`,
      blockOf: async (job: string) => (lost.has(job) ? undefined : 'web'),
    } as never,
    records: { readResult: async (job: string) => results.get(job) } as never,
    notices: {
      notify: async event => void told.push(event),
      ended: async subject => void ended.push(subject),
      async [Symbol.asyncDispose]() {},
    },
  };
  await storage.put(csr, chain);
  await renewals.issued('kept', { csr, chain, leaf }, { block: 'web', ahead: false }, clock.now());
  const managed = async () => (await index.read([id]))[0];
  return {
    ...{ ca, clock, log, storage, index, renewals, jobs, told, ended, results, lost, parts, managed },
    look: () => renewDue(parts, one => lookAtStored(parts, one, never), never),
    /** Turns the clock to so many days after the certificate's begin. */
    turnTo: (days: number) => clock.turn(leaf.notBefore + days * day - clock.now()),
    fail: (job: number, code: 'denied' | 'unavailable', detail: string) =>
      results.set(`job-${job}`, { outcome: 'failed', block: 'web', error: { code, detail } }),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

suite('renewing ahead', () => {
  test('makes the job that a post would make today, with what it replaces and by when, at its time and once', async () => {
    await using ground = await openGround();
    ground.turnTo(0.1);
    assert.equal(await ground.look(), 1);
    const planned = await ground.managed();
    assert.equal(planned?.plan.why, 'with 30 days left, as the CA offers no renewal information');
    assert.ok(planned.plan.at >= leaf.notBefore + 60 * day && planned.plan.at <= leaf.notBefore + 64.5 * day);
    ground.turnTo(59.9);
    await ground.look();
    assert.deepEqual(ground.jobs, []);
    ground.turnTo(64.6);
    await ground.look();
    await ground.look();
    assert.deepEqual(ground.jobs, [
      {
        ...{ csr: csr.pem, identifiers: [{ type: 'dns', value: 'a.example.org' }], account: 'account' },
        ...{ solvers: ['http'], storage: 'kept', block: 'web', certificateProfile: 'short' },
        ...{
          replaces: renewalInfoId(chain),
          due: leaf.notAfter,
          requestId: `renewal-${csr.digest.slice(0, 12)}`,
        },
      },
    ]);
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

  test('takes a certificate that a post has got meanwhile for the successor, and what was told for over', async () => {
    await using ground = await openGround();
    ground.turnTo(65);
    await ground.look();
    await ground.storage.put(csr, newer);
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
    ground.parts.storages.clear();
    ground.turnTo(65);
    await ground.look();
    assert.equal(await ground.managed(), undefined);
    assert.equal((await ground.index.counts(0)).managed, 0);
  });

  test('renews at once what an operator wants renewed, though nobody fetched it', async () => {
    await using ground = await openGround();
    await redis.del(`{renew-${prefixes}}:renewals:fetched`);
    await ground.index.force(id, ground.clock.now());
    await ground.look();
    assert.equal(ground.jobs.length, 1);
  });

  test('goes on with the others when one cannot be looked at', async () => {
    await using ground = await openGround();
    const broken = { ...(await ground.managed()) } as NonNullable<Awaited<ReturnType<typeof ground.managed>>>;
    await ground.index.add({ ...broken, id: 'stored/kept/broken', names: [] }, 0);
    ground.parts.storages.set('kept', {
      days: 30,
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
