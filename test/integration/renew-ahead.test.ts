import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { renewalInfoId } from '../../shared/acme/renewal-info.ts';
import { readCsr } from '../../shared/pki/csr.ts';
import { hastenTask } from '../../shared/queue/schedule.ts';
import { openRenewalIndex, type RenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { storedId } from '../../shared/renewal/stored-renewals.ts';
import { callQuarryWith } from '../support/call-quarry.ts';
import { assertChain } from '../support/chain.ts';
import { makeCsr } from '../support/csr.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { setRenewalInfo, windowFromNow } from '../support/set-renewal-info.ts';
import { waitUntil } from '../support/wait-until.ts';

const hour = 3_600_000;
const day = 24 * hour;
let fleet: Fleet;
let index: RenewalIndex;
let blocks: string;
before(async () => {
  fleet = await startFleet({
    roles: [],
    pebble: { profiles: { default: { description: 'the only one', validityPeriod: 90 * 86_400 } } },
  });
  blocks = `[storage "files"]
type = file
directory = ${fleet.dir}/storage/files
renew-ahead = yes
[storage "redis"]
type = redis
renew-ahead = yes
[auth "files"]
all = yes
domain = *.files.example
storage = files
[auth "redis"]
all = yes
domain = *.redis.example
storage = redis`;
  const roles = ['intake', 'worker', 'responder', 'scheduler', 'scheduler'] as const;
  await Promise.all(roles.map(role => fleet.start(role, { blocks })));
  index = openRenewalIndex({ redis: fleet.redisClient, prefix: '{quarry}' });
});
after(() => fleet[Symbol.asyncDispose]());

async function issue(storage: string, name: string) {
  const csr = await makeCsr({ names: [`${name}.${storage}.example`] });
  const answer = await fleet.post(csr.csrPem);
  assert.equal(answer.status, 200, answer.body);
  const id = storedId(storage, readCsr(Buffer.from(csr.csrPem)));
  return { ...csr, id, chain: answer.body };
}

const managed = async (id: string) => (await index.read([id]))[0];

/** Has the scheduler ask for renewal information now and not in some minutes. */
async function askNow(id: string): Promise<void> {
  const one = await managed(id);
  assert.ok(one);
  assert.equal(await index.save({ ...one, poll: 0 }, 0), true);
  await hastenTask({ redis: fleet.redisClient, prefix: '{quarry}' }, 'renew', Date.now());
}

const logs = () => fleet.all('scheduler').flatMap(scheduler => scheduler.log());

for (const storage of ['files', 'redis'])
  suite(`a certificate in a ${storage} storage with renew-ahead`, () => {
    test("is renewed in the CA's window, and the client's next post is answered with it from storage", async () => {
      const { id, csrPem, keyPem, chain } = await issue(storage, 'window');
      const explanation = `https://ca.example/${storage}`;
      await setRenewalInfo(fleet.pebble, chain, windowFromNow(-2 * day, -day, explanation));
      const before = fleet.orders();
      await askNow(id);
      await waitUntil('the successor', async () => (await managed(id))?.certificate !== renewalInfoId(chain));
      assert.equal(fleet.orders(), before + 1);
      const again = await fleet.post(csrPem);
      assert.equal(again.status, 200);
      assert.notEqual(again.body, chain);
      assertChain(again.body, {
        rootPem: await fleet.pebble.rootPem(),
        keyPem,
        names: [`window.${storage}.example`],
      });
      assert.equal(fleet.orders(), before + 1, 'the post made no order');
      const [replaced] = fleet.ca.requests().filter(({ replaces }) => replaces === renewalInfoId(chain));
      assert.ok(replaced, 'newOrder named what it replaces');
      assert.ok(
        logs().some(line => line.explanation === explanation),
        'the explanation is logged',
      );
      const successor = await managed(id);
      assert.deepEqual([successor?.ahead, successor?.failures], [true, undefined]);
    });

    test('is kept as it is before the window, at a time in it that stays the same', async () => {
      const { id, chain } = await issue(storage, 'later');
      await setRenewalInfo(fleet.pebble, chain, windowFromNow(day, 3 * day));
      const before = fleet.orders();
      await askNow(id);
      await waitUntil(
        'the window',
        async () => (await managed(id))?.plan.why.startsWith('the CA suggests') === true,
      );
      const planned = await managed(id);
      assert.ok(
        planned && planned.plan.at > Date.now() + 0.9 * day && planned.plan.at < Date.now() + 3 * day,
      );
      await askNow(id);
      await waitUntil('another question', async () => ((await managed(id))?.poll ?? 0) > 0);
      assert.equal((await managed(id))?.plan.at, planned.plan.at);
      assert.equal(fleet.orders(), before);
    });
  });

suite('a certificate that nobody fetched since it was renewed', () => {
  test('is left to expire, and renewed again once a client has fetched it', async () => {
    const { id, csrPem, chain } = await issue('redis', 'left');
    await setRenewalInfo(fleet.pebble, chain, windowFromNow(-2 * day, -day));
    await askNow(id);
    await waitUntil('the successor', async () => (await managed(id))?.ahead === true);
    const { chain: second } = JSON.parse(
      (await fleet.redisClient.get(`{quarry}:storage:redis:${id.slice(-96)}`)) ?? '{}',
    );
    await setRenewalInfo(fleet.pebble, second, windowFromNow(-2 * day, -day));
    const before = fleet.orders();
    // Pebble does not backdate: what was fetched in the second of the renewal still counts as fetched.
    await index.fetched(id, { at: new X509Certificate(second).validFromDate.getTime() - 1, block: 'redis' });
    await askNow(id);
    await waitUntil('it to be left', async () => (await managed(id))?.left === true);
    assert.equal(fleet.orders(), before);

    const fetched = await fleet.post(csrPem);
    assert.equal(fetched.body, second);
    await waitUntil(
      'the fetch to be noted',
      async () => ((await index.lastFetches([id]))[0]?.at ?? 0) > Date.now() - hour,
    );
    await askNow(id);
    await waitUntil('the third', async () => (await managed(id))?.certificate !== renewalInfoId(second));
    assert.equal(fleet.orders(), before + 1);
  });
});

suite('quarry renewals and quarry renew', () => {
  test('tell what is renewed when and why, and do it now', async () => {
    const { id, chain } = await issue('files', 'now');
    const ini = await fleet.ini({ blocks });
    const seconds = (at: number) => new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');
    const before = await managed(id);
    assert.ok(before);

    const text = await callQuarryWith(ini, ['renewals', 'main.ini']);
    assert.equal(text.code, 0, text.stderr);
    const told = text.stdout.slice(text.stdout.indexOf('now.files.example'));
    assert.match(
      told,
      new RegExp(
        `^now\\.files\\.example\n {4}${id}\n {4}valid until ${seconds(before.notAfter)}, last fetched .* by "files"\n`,
      ),
    );
    assert.match(told, /\n {4}issued by account default\n/);
    assert.match(
      told,
      /\n {4}renewed 20\d\d-\S+Z: (with 14 days left, as the CA was not asked yet|the CA suggests)/,
    );

    const [scheduler] = fleet.all('scheduler');
    const figures = await (await fetch(`${scheduler?.adminUrl}/metrics`)).text();
    const figure = (name: string) =>
      Number(new RegExp(`^quarry_scheduler_${name} (\\S+)$`, 'm').exec(figures)?.[1]);
    const { managed: count, soonestEnd = 0 } = await index.counts(Date.now());
    assert.deepEqual([figure('certificates_managed'), figure('certificates_failed')], [count, 0]);
    assert.equal(figure('soonest_expiry_timestamp_seconds'), soonestEnd / 1_000);
    assert.ok(figure('certificates_due') >= 0);

    const renewed = await callQuarryWith(ini, ['renew', 'NOW.files.example', 'main.ini']);
    assert.deepEqual([renewed.code, renewed.stderr], [0, '']);
    assert.match(renewed.stdout, /^renewed: now\.files\.example, valid until 20/);
    const after = await managed(id);
    assert.notEqual(after?.certificate, renewalInfoId(chain));

    const json = await callQuarryWith(ini, ['renewals', '--json', 'main.ini']);
    const entry = JSON.parse(json.stdout).find((one: { id: string }) => one.id === id);
    assert.deepEqual([entry.names, entry.state, entry.lastError], [['now.files.example'], 'planned', null]);
    assert.equal(entry.notAfter, seconds(after?.notAfter ?? 0));
    assert.equal(entry.account, 'default');
  });

  test('say in one line what is not known, and what failed', async () => {
    const ini = await fleet.ini({ blocks });
    const unknown = await callQuarryWith(ini, ['renew', 'no.example', 'main.ini']);
    assert.deepEqual([unknown.code, unknown.stdout], [1, '']);
    assert.match(
      unknown.stderr,
      /^quarry: nothing that Quarry renews is called "no\.example": .*; see quarry renewals\n$/,
    );
    const { id } = await issue('redis', 'refused');
    await index.fetched(id, { at: Date.now(), block: 'gone' });
    const refused = await callQuarryWith(ini, ['renew', 'refused.redis.example', 'main.ini']);
    const reason = 'the configuration does not admit it any more: no auth block "gone" uses storage "redis"';
    assert.deepEqual(
      [refused.code, refused.stderr],
      [1, `quarry: refused.redis.example cannot be renewed: ${reason}\n`],
    );
    const { stdout } = await callQuarryWith(ini, ['renewals', 'main.ini']);
    assert.match(stdout, new RegExp(`last error, 20\\S+Z: ${reason}`));
  });
});
