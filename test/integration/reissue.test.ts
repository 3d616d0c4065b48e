import assert from 'node:assert/strict';
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

// Certificates that have to go before their time: a CA takes one back, or an operator has many reissued.

const day = 24 * 3_600_000;
const patience = 90_000;

let fleet: Fleet;
let index: RenewalIndex;
let blocks: string;
before(async () => {
  fleet = await startFleet({
    roles: [],
    pebble: { profiles: { default: { description: 'the only one', validityPeriod: 90 * 86_400 } } },
  });
  blocks = `[storage "ahead"]
type = file
directory = ${fleet.dir}/storage/ahead
renew-ahead = yes
[storage "watched"]
type = file
directory = ${fleet.dir}/storage/watched
[auth "ahead"]
all = yes
domain = *.ahead.example
storage = ahead
[auth "watched"]
all = yes
domain = *.watched.example
storage = watched`;
  const roles = ['intake', 'worker', 'responder', 'scheduler'] as const;
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

suite('a certificate that Quarry does not renew by itself', () => {
  test('is ordered anew by the next post once the CA has moved its window into the past', async () => {
    const { id, csrPem, keyPem, chain } = await issue('watched', 'revoked');
    assert.equal((await fleet.post(csrPem)).body, chain);
    await setRenewalInfo(fleet.pebble, chain, windowFromNow(-2 * day, -day));
    const one = await managed(id);
    assert.ok(one);
    assert.equal(await index.save({ ...one, poll: 0 }, 0), true);
    await hastenTask({ redis: fleet.redisClient, prefix: '{quarry}' }, 'renew', Date.now());
    const before = fleet.orders();
    await waitUntil('the question', async () => ((await managed(id))?.poll ?? 0) > 0, patience);
    assert.equal(fleet.orders(), before, 'the scheduler orders nothing');
    const again = await fleet.post(csrPem);
    assert.equal(again.status, 200, again.body);
    assert.notEqual(again.body, chain);
    const names = ['revoked.watched.example'];
    assertChain(again.body, { rootPem: await fleet.pebble.rootPem(), keyPem, names });
    assert.equal(fleet.orders(), before + 1);
    assert.ok(
      fleet.ca.requests().some(({ replaces }) => replaces === renewalInfoId(chain)),
      'newOrder named what it replaces',
    );
    assert.equal((await fleet.post(csrPem)).body, again.body);
    const { stdout } = await callQuarryWith(await fleet.ini({ blocks }), ['renewals', 'main.ini']);
    assert.ok(!stdout.includes('watched.example'), 'quarry renewals tells what Quarry renews');
  });
});

suite('quarry reissue', () => {
  test('renews what matches, renewed by Quarry or not, and nothing else, once it is told --yes', async () => {
    const wanted = [await issue('ahead', 'a'), await issue('watched', 'b')];
    const other = await issue('ahead', 'other');
    const ini = await fleet.ini({ blocks });
    const words = ['reissue', '--account', 'default', 'a.ahead.example', 'b.*', 'main.ini'];
    const refused = await callQuarryWith(ini, words);
    assert.deepEqual(
      [refused.code, refused.stderr],
      [2, 'quarry: nothing is reissued, as there is no terminal to ask at; say --yes\n'],
    );
    assert.match(
      refused.stdout,
      /^2 certificates are to be renewed .*\(2 of account default\):\n {4}a\.ahead/,
    );
    assert.equal((await managed(wanted[0]?.id ?? ''))?.reissue, undefined);

    const agreed = await callQuarryWith(ini, ['reissue', '--yes', ...words.slice(1)]);
    assert.deepEqual([agreed.code, agreed.stderr], [0, '']);
    for (const { id, csrPem, chain } of wanted) {
      const isRenewed = async () => (await managed(id))?.certificate !== renewalInfoId(chain);
      await waitUntil('the successor', isRenewed, patience);
      assert.notEqual((await fleet.post(csrPem)).body, chain);
    }
    assert.equal((await fleet.post(other.csrPem)).body, other.chain);

    const none = await callQuarryWith(ini, ['reissue', '--account', 'nobody', 'main.ini']);
    assert.deepEqual([none.code, none.stderr], [1, 'quarry: there is nothing to reissue\n']);
  });
});
