import assert from 'node:assert/strict';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { crypto } from 'acme-client';
import { chainsLike, makeCertificate } from '../bench/certificate.ts';
import { startFakeCa } from '../bench/fake-ca.ts';
import { ask, signed } from '../support/ask.ts';
import { freePorts } from '../support/free-port.ts';
import { startQuarry } from '../support/quarry.ts';
import { startRedis } from '../support/redis.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

const posts = 500;
const atOnce = 12;
const leastReloads = 4;
const keys = {
  kept: 'the key of those who stay',
  first: 'the key of the first',
  later: 'the key of the later',
};
type Guests = 'first' | 'later';

/** All names are as long as this one, in which the CA writes them over. */
const template = 'host-00000-0.bench.example';
const nameIn = (domain: 'keeps' | Guests, number: number) =>
  `host-${String(number).padStart(5, '0')}-0.${domain}.example`;

/** A key and what it is for change together: who sees one of both has seen half of a configuration. */
const blocksOf = (guests: Guests, version: number) => `[auth "kept"]
hmac_type = sha256
hmac_key = ${keys.kept}
domain = *.keeps.example
[auth "guests"]
hmac_type = sha256
hmac_key = ${keys[guests]}
domain = *.${guests}.example
[auth "only in ${version}"]
ip = 192.0.2.${version % 250}
domain = *
`;

/** A CA that answers at once, and all roles in one process. */
async function startGround() {
  await using stack = new AsyncDisposableStack();
  const { path: dir } = stack.use(await tempDir());
  const [intake, responder] = (await freePorts(2)) as [number, number];
  const redis = stack.use(await startRedis());
  const { chain, keyPem } = await makeCertificate(dir, [template]);
  const ca = stack.use(await startFakeCa({ chainOf: chainsLike(chain, template), fetchFrom: responder }));
  const common = `[account]
acme-server = ${ca.directoryUrl}
ca-file = ${ca.caFile}
accept-terms-of-service = yes
dir = ${dir}
[mgmt]
listener = 127.0.0.1:${intake}
[verification "http"]
type = http01
listener = 127.0.0.1:${responder}
self-check = off
[redis]
url = ${redis.url}
[logging]
level = info
`;
  const quarry = stack.use(await startQuarry('up', common + blocksOf('first', 0)));
  const admin = `[admin]\nlistener = ${new URL(quarry.adminUrl).host}\n`;
  const running = stack.move();
  return {
    quarry,
    async reload(blocks: string) {
      await writeFile(join(quarry.folder, 'main.ini.new'), common + admin + blocks);
      await rename(join(quarry.folder, 'main.ini.new'), join(quarry.folder, 'main.ini'));
      process.kill(quarry.pid, 'SIGHUP');
    },
    async post(name: string, key: string) {
      const [, csr] = await crypto.createCsr({ commonName: name, altNames: [name] }, keyPem);
      const headers = signed(csr, { key });
      return ask(`http://127.0.0.1:${intake}/sign`, { method: 'POST', body: csr, headers });
    },
    async readyz() {
      const answer = await fetch(`${quarry.adminUrl}/readyz`);
      return `${answer.status} ${await answer.text()}`;
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

test(`of ${posts} posts, while blocks come and go every second, each is answered by the old or the new configuration`, async t => {
  await using ground = await startGround();
  const { quarry, post } = ground;
  const statuses: Record<string, Record<string, number>> = { kept: {}, first: {}, later: {}, mixed: {} };
  let [posted, reloads, over] = [0, 0, false];

  async function postNext(number: number): Promise<void> {
    const guests = number % 2 === 0 ? 'first' : 'later';
    const other = guests === 'first' ? 'later' : 'first';
    const who = number % 10 === 0 ? 'mixed' : number % 3 === 0 ? 'kept' : guests;
    const [domain, key] =
      who === 'kept'
        ? (['keeps', keys.kept] as const)
        : ([who === 'mixed' ? other : guests, keys[guests]] as const);
    const { status, body } = await post(nameIn(domain, number), key);
    const told = statuses[who] ?? assert.fail();
    told[status] = (told[status] ?? 0) + 1;
    if (status === 200) assert.match(body, /^-----BEGIN CERTIFICATE-----/);
  }

  async function client(): Promise<void> {
    while (posted < posts || reloads < leastReloads) await postNext(posted++);
  }

  async function changing(): Promise<void> {
    while (!over) {
      await delay(1_000);
      await ground.reload(blocksOf(reloads % 2 === 0 ? 'later' : 'first', ++reloads));
    }
  }

  const changes = changing();
  await Promise.all(Array.from({ length: atOnce }, client));
  over = true;
  await changes;
  t.diagnostic(`${posted} posts, ${reloads} reloads: ${JSON.stringify(statuses)}`);
  const { kept = {}, first = {}, later = {}, mixed = {} } = statuses;
  assert.deepEqual(Object.keys(kept), ['200'], 'what is in every configuration is always answered');
  for (const guests of [first, later])
    assert.deepEqual(
      Object.keys(guests).sort(),
      ['200', '403'],
      'the one configuration admits, the other does not',
    );
  assert.deepEqual(Object.keys(mixed), ['403'], 'no request sees half of each');

  const taken = () => quarry.log().filter(({ msg }) => msg === 'configuration taken over').length;
  await waitUntil('the last reload', () => taken() >= leastReloads);
  await ground.reload('[auth "broken"]\ndomian = *\n');
  await waitUntil('a note of the broken file', async () =>
    /^200 ready\n.*domian/.test(await ground.readyz()),
  );
  assert.match(
    await ground.readyz(),
    /\nthe configuration is not taken over, the old one is in force: \S+main\.ini:\d+: \[auth "broken"\] domian: unknown/,
  );
  assert.equal((await post(nameIn('keeps', 1), keys.kept)).status, 200);

  for (let signals = 0; signals < 100; signals++) process.kill(quarry.pid, 'SIGHUP');
  await ground.reload(blocksOf('first', 999));
  await waitUntil('the note to go', async () => !(await ground.readyz()).includes('not taken over'));
  assert.equal((await post(nameIn('first', 2), keys.first)).status, 200);
  assert.equal((await post(nameIn('later', 3), keys.later)).status, 403);
  assert.equal(await quarry.stop(), 0);
});
