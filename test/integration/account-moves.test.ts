import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { renewalInfoId } from '../../shared/acme/renewal-info.ts';
import { readCsr } from '../../shared/pki/csr.ts';
import { hastenTask } from '../../shared/queue/schedule.ts';
import { openRenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { storedId } from '../../shared/renewal/stored-renewals.ts';
import { callQuarryWith } from '../support/call-quarry.ts';
import { assertChain } from '../support/chain.ts';
import { type Csr, makeCsr } from '../support/csr.ts';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { startHookReceiver } from '../support/hook-receiver.ts';
import { startPebble } from '../support/pebble.ts';
import { setRenewalInfo, windowFromNow } from '../support/set-renewal-info.ts';
import { waitUntil } from '../support/wait-until.ts';
import { assertIssuedBy, refuse } from './fail-over/answers.ts';
import { post, sent } from './faults/orders.ts';

// A stored certificate that is fresh by its dates, and yet is not what the next post should get, or what is
// to be renewed.

const DAY = 24 * 3_600_000;
const LONG = 90_000;
const only = { profiles: { only: { description: '90 days', validityPeriod: 90 * 86_400 } } };

/**
 * A storage of each kind that is posted to under names of its own, with these lines in it.
 *
 * @param more lines of the auth blocks
 * @param prefix of the storages' names, and the names'
 */
const kept = (fleet: Fleet, lines = '', more = '', prefix = '') => `[storage "${prefix}files"]
type = file
directory = ${fleet.dir}/storage/${prefix}files
${lines}
[storage "${prefix}redis"]
type = redis
${lines}
[auth "${prefix}files"]
all = yes
domain = *.${prefix}files.example
storage = ${prefix}files
${more}
[auth "${prefix}redis"]
all = yes
domain = *.${prefix}redis.example
storage = ${prefix}redis
${more}
`;
const storages = ['files', 'redis'];

async function issue(fleet: Fleet, { csrPem }: Csr): Promise<string> {
  const { status, body } = await fleet.post(csrPem);
  assert.equal(status, 200, body);
  return body;
}

/** The scheduler's view of what is stored for a CSR. */
function managedFor({ redisClient: redis }: Fleet, storage: string, { csrPem }: Csr) {
  const store = { redis, prefix: '{quarry}' };
  const index = openRenewalIndex(store);
  const id = storedId(storage, readCsr(Buffer.from(csrPem)));
  const read = async () => (await index.read([id]))[0];
  return {
    read,
    /**
     * Has the scheduler ask for renewal information now, and not in some minutes; resolves when it has
     * looked.
     */
    async look() {
      const one = await read();
      assert.ok(one, 'the scheduler knows of it');
      assert.equal(await index.save({ ...one, poll: 0 }, 0), true);
      await hastenTask(store, 'renew', Date.now());
      const looked = async () => !(await index.due(1, 100)).includes(id);
      await waitUntil('the scheduler to look', looked, LONG);
    },
  };
}

/** As a CA says that it is going to revoke a certificate. */
const takeBack = (fleet: Fleet, chain: string, pebble = fleet.pebble) =>
  setRenewalInfo(pebble, chain, windowFromNow(-2 * DAY, -DAY));

test('after acme-server has changed from a CA for tests to a real one, the next post of the same CSR gets a certificate of the new one, once', async () => {
  await using fleet = await startFleet({ roles: [], pebble: only });
  const { port: httpPort } = fleet.front;
  const { dnsServer } = fleet.pebble;
  await using pebble = await startPebble({ ...only, httpPort, dnsServer });
  await using ca = await startFaultProxy(pebble);
  const roles = ['intake', 'worker', 'responder'] as const;
  const startAt = (acmeServer: string) =>
    Promise.all(roles.map(role => fleet.start(role, { blocks: kept(fleet), acmeServer })));
  const hosts = await Promise.all(
    storages.map(async storage => {
      const names = [`www.${storage}.example`];
      return { names, csr: await makeCsr({ names }) };
    }),
  );
  const first = await startAt(fleet.ca.directoryUrl);
  const staging = new Map<Csr, string>();
  for (const { csr } of hosts) {
    staging.set(csr, await issue(fleet, csr));
    assert.equal(await issue(fleet, csr), staging.get(csr), 'while nothing changes, it comes from storage');
  }
  await Promise.all(first.map(one => one.stop()));

  await startAt(ca.directoryUrl);
  for (const { names, csr } of hosts) {
    const production = await issue(fleet, csr);
    assertChain(production, { names, keyPem: csr.keyPem, rootPem: await pebble.rootPem() });
    assert.equal(await issue(fleet, csr), production);
    const replaces = replaced(ca, names[0]);
    assert.deepEqual(replaces, [undefined], 'one order, which replaces nothing that this CA has issued');
  }
});

suite('a certificate that the CA takes back', () => {
  const parts = new AsyncDisposableStack();
  let fleet: Fleet;
  let receiver: Awaited<ReturnType<typeof startHookReceiver>>;
  after(() => parts.disposeAsync());
  before(async () => {
    receiver = parts.use(await startHookReceiver());
    fleet = parts.use(await startFleet({ roles: [], pebble: only }));
    const notify = `[notify "all"]\nurl = ${receiver.url}\n`;
    await startAll(fleet, kept(fleet) + kept(fleet, 'renew-ahead = yes', '', 'ahead-') + notify);
  });

  for (const storage of storages) {
    test(`is replaced at the next post where a ${storage} storage does not renew ahead`, async () => {
      const name = `taken.${storage}.example`;
      const csr = await makeCsr({ names: [name] });
      const first = await issue(fleet, csr);
      await takeBack(fleet, first);
      await managedFor(fleet, storage, csr).look();
      assert.deepEqual(replaced(fleet.ca, name), [undefined], 'the scheduler orders nothing');
      const next = await issue(fleet, csr);
      assert.notEqual(next, first);
      assert.equal(await issue(fleet, csr), next);
      assert.deepEqual(replaced(fleet.ca, name), [undefined, idOf(first)]);
    });

    test(`is replaced by the scheduler where a ${storage} storage renews ahead`, async () => {
      const name = `taken.ahead-${storage}.example`;
      const csr = await makeCsr({ names: [name] });
      const first = await issue(fleet, csr);
      await takeBack(fleet, first);
      const managed = managedFor(fleet, `ahead-${storage}`, csr);
      await managed.look();
      const isNew = async () => (await managed.read())?.certificate !== idOf(first);
      await waitUntil('the successor', isNew, LONG);
      assert.notEqual(await issue(fleet, csr), first);
      assert.deepEqual(replaced(fleet.ca, name), [undefined, idOf(first)]);
    });

    test(`is neither renewed nor asked about where its host has a new key, in a ${storage} storage, and nobody is told`, async () => {
      const names = [`host.ahead-${storage}.example`];
      const [older, newer] = [await makeCsr({ names }), await makeCsr({ names })];
      const [old, current] = [await issue(fleet, older), await issue(fleet, newer)];
      const managed = managedFor(fleet, `ahead-${storage}`, newer);
      await takeBack(fleet, old);
      await takeBack(fleet, current);
      const superseded = managedFor(fleet, `ahead-${storage}`, older);
      if (await superseded.read()) await superseded.look();
      await managed.look();
      const isNew = async () => (await managed.read())?.certificate !== idOf(current);
      await waitUntil('the successor of the newer one', isNew, LONG);
      assert.deepEqual(replaced(fleet.ca, names[0]), [undefined, undefined, idOf(current)]);
      const questions = fleet.ca.requests().filter(({ kind }) => kind === 'renewalInfo');
      assert.deepEqual(
        questions.filter(({ path }) => path.endsWith(idOf(old))),
        [],
      );
      assert.deepEqual(receiver.posts, []);
    });
  }
});

suite('a certificate of the second choice', () => {
  test('is served while it is fresh, and renewed at the first choice when that is well again', async () => {
    await using fleet = await startFleet({ roles: [], pebble: only, second: { pebble: only } });
    const blocks = kept(fleet, 'renew-ahead = yes', 'account = default, second');
    await startAll(fleet, blocks);
    const name = 'second.redis.example';
    const rule = refuse(fleet.ca, name, { type: 'caa' });
    const posted = await post(fleet, [name]);
    await assertIssuedBy(fleet, 'second', [posted]);
    const { body: chain } = await posted.answer;
    rule.remove();
    const again = await fleet.post(posted.csrPem);
    assert.deepEqual([again.body, again.headers['x-quarry-account']], [chain, 'second']);
    const renewals = await callQuarryWith(await fleet.ini({ blocks }), ['renewals', 'main.ini']);
    assert.match(renewals.stdout, /\n {4}issued by account second\n {4}not by account default: .*caa/);

    await takeBack(fleet, chain, fleet.second.pebble);
    const managed = managedFor(fleet, 'redis', posted);
    await managed.look();
    const isNew = async () => (await managed.read())?.certificate !== idOf(chain);
    await waitUntil('the successor', isNew, LONG);
    await assertIssuedBy(fleet, 'default', [{ ...posted, answer: fleet.post(posted.csrPem) }]);
    assert.deepEqual(
      replaced(fleet.ca, name).slice(1),
      [undefined],
      'which is told of no certificate of another CA',
    );
  });
});

const startAll = (fleet: Fleet, blocks: string) =>
  Promise.all(
    (['intake', 'worker', 'responder', 'scheduler'] as const).map(role => fleet.start(role, { blocks })),
  );

/** What a CA was told, order by order, of what is replaced by the certificates of a name. */
const replaced = (ca: FaultProxy, name = '') => sent(ca, name, 'newOrder').map(({ replaces }) => replaces);

function idOf(chain: string): string {
  const id = renewalInfoId(chain.slice(0, chain.indexOf('-----END CERTIFICATE-----') + 25));
  assert.ok(id);
  return id;
}
