import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { type ManagedCertificate, openRenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { callQuarryWith } from '../support/call-quarry.ts';
import { assertChain } from '../support/chain.ts';
import type { FaultProxy } from '../support/fault-proxy.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { waitUntil } from '../support/wait-until.ts';

const patience = 90_000;
const name = 'www.accounts.example';
/** Whatever concorde's `server` says, it is nobody's to touch. */
const server = 'https://acme.example/directory';

let fleet: Fleet;
let directory: string;
let blocks: string;
let managed: () => Promise<ManagedCertificate | undefined>;
before(async () => {
  const profiles = { default: { description: 'the only one', validityPeriod: 90 * 86_400 } };
  fleet = await startFleet({ roles: ['responder'], pebble: { profiles }, second: { pebble: { profiles } } });
  const index = openRenewalIndex({ redis: fleet.redisClient, prefix: '{quarry}' });
  managed = async () => (await index.read([`profile/web/${name}`]))[0];
  directory = join(fleet.dir, 'profile');
  await mkdir(directory);
  await writeFile(join(directory, 'shaman.json'), JSON.stringify({ server, domains: { [name]: {} } }));
  blocks = `[renewal "web"]
shaman-profile = ${directory}
account = default, second
[auth "all"]
all = yes
domain = *`;
});
after(() => fleet[Symbol.asyncDispose]());

const readJson = async () => JSON.parse(await readFile(join(directory, 'shaman.json'), 'utf8'));
const file = (end: string) => readFile(join(directory, `${name}.${end}`), 'utf8');
const newOrders = (ca: FaultProxy) => ca.requests().filter(({ kind }) => kind === 'newOrder');
const renew = async () => callQuarryWith(await fleet.ini({ blocks }), ['renew', 'web', 'main.ini']);

/** Asserts who issued the certificate on disk, and that what is concorde's is as it was. */
async function assertIssuedBy(account: 'default' | 'second'): Promise<void> {
  const { ca, pebble } = account === 'default' ? fleet : fleet.second;
  const [chain, keyPem, rootPem] = [
    await file('cert.pub.pem'),
    await file('key.priv.pem'),
    await pebble.rootPem(),
  ];
  assertChain(`${chain.trim().replaceAll(/-\n-/g, '-\n\n-')}\n`, { rootPem, keyPem, names: [name] });
  const json = await readJson();
  assert.deepEqual([json.server, json.key, json.account_id], [server, undefined, undefined]);
  const { certificate_id: url, order_id: order, quarry } = json.domains[name];
  const issuedBy = { account, directory: ca.directoryUrl };
  assert.deepEqual([quarry.issuedBy, order], [issuedBy, undefined]);
  assert.equal(new URL(url).origin, new URL(ca.directoryUrl).origin);
  assert.deepEqual((await managed())?.issuedBy, issuedBy);
}

suite("a shaman profile whose orders Quarry's accounts make", () => {
  test("gets its certificate from the second where the first refuses the name, and keeps what is concorde's", async () => {
    const problem = { type: 'rejectedIdentifier', detail: 'not here' };
    fleet.ca.rule({ kind: 'newOrder', do: { answer: { status: 403, problem } } });
    await fleet.start('scheduler', { blocks });
    await waitUntil('the certificate', async () => (await managed()) !== undefined, patience);
    await assertIssuedBy('second');
    assert.equal(newOrders(fleet.second.ca).length, 1);
    const shown = await callQuarryWith(await fleet.ini({ blocks }), [
      'trail',
      'show',
      '--name',
      name,
      'main.ini',
    ]);
    assert.match(
      shown.stdout,
      /^\S+ {2}issued .* block=profile\/web {2}by=renewal {2}account=second .*\n$/m,
      shown.stderr,
    );
  });

  test('is renewed at the first again once that is well, which is not told of a certificate that it did not issue', async () => {
    fleet.ca.clearRules();
    fleet.ca.reset();
    const { code, stderr } = await renew();
    assert.deepEqual([code, stderr], [0, '']);
    await assertIssuedBy('default');
    const orders = newOrders(fleet.ca).map(({ replaces, status }) => [replaces, status]);
    assert.deepEqual(orders, [[undefined, 201]]);
  });

  test('is renewed at the second while the first is away, and the certificate on disk stands in until then', async () => {
    const chain = await file('cert.pub.pem');
    fleet.ca.rule({ do: { drop: 'before' } });
    const { code, stderr } = await renew();
    assert.deepEqual([code, stderr], [0, '']);
    await assertIssuedBy('second');
    assert.notEqual(await file('cert.pub.pem'), chain);
    fleet.ca.clearRules();
  });
});
