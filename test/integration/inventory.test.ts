import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { callQuarryWith } from '../support/call-quarry.ts';
import { type Csr, makeCsr } from '../support/csr.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { waitUntil } from '../support/wait-until.ts';

const patience = 60_000;
const key = 'a long enough key for the inventory';

type Listed = Record<'names' | 'serial' | 'how' | 'block' | 'account', string> &
  Record<
    'fetched' | 'revoked' | 'forgotten' | 'superseded',
    { at: string; by?: string; client?: string } | null
  >;

let fleet: Fleet;
let blocks: string;
before(async () => {
  fleet = await startFleet({ roles: [] });
  blocks = `[storage "files"]
type = file
directory = ${fleet.dir}/storage
[auth "hosts"]
hmac_type = sha256
hmac_key = ${key}
domain = *.inventory.example
storage = files`;
  const roles = ['intake', 'worker', 'responder', 'scheduler'] as const;
  await Promise.all(roles.map(role => fleet.start(role, { blocks })));
});
after(() => fleet[Symbol.asyncDispose]());

const quarry = async (...words: string[]) =>
  callQuarryWith(await fleet.ini({ blocks }), [...words, 'main.ini']);

async function list(...words: string[]): Promise<Listed[]> {
  const { stdout, stderr } = await quarry('certificates', '--json', ...words);
  assert.equal(stderr, '');
  return JSON.parse(stdout).certificates;
}

/** The inventory of a name, once it is as it should be. */
async function untilListed(name: string, isSo: (all: Listed[]) => boolean): Promise<Listed[]> {
  let all: Listed[] = [];
  await waitUntil(
    `the inventory of ${name}`,
    async () => {
      all = await list(name);
      return isSo(all);
    },
    patience,
  );
  return all;
}

async function post(csr: Csr): Promise<string> {
  const { status, body } = await fleet.post(csr.csrPem, { hmac: { key } });
  assert.equal(status, 200, body);
  return body;
}

const serialOf = (chain: string) => new X509Certificate(chain).serialNumber.toLowerCase();

suite('the inventory of a fleet', () => {
  test('has what a post has ordered within seconds, and who has it, and what is revoked', async () => {
    const name = 'revoked.inventory.example';
    const csr = await makeCsr({ names: [name] });
    const chain = await post(csr);
    const [one] = await untilListed(name, all => all.length === 1 && Boolean(all[0]?.fetched));
    assert.deepEqual(
      [one?.serial, one?.how, one?.block, one?.account],
      [serialOf(chain), 'post', 'hosts', 'default'],
    );
    assert.match(`${one?.fetched?.by} ${one?.fetched?.client}`, /^hmac.* 127\.0\.0\.1$/);

    const refused = await quarry('revoke', name);
    assert.deepEqual(
      [refused.code, refused.stderr],
      [2, 'quarry: nothing is revoked, as there is no terminal to ask at; say --yes\n'],
    );
    assert.match(
      refused.stdout,
      /^1 certificate is to be revoked:\n {4}revoked\.inventory\.example: serial /,
    );
    assert.equal((await fleet.pebble.certificateStatus(chain)).status, 'Valid');

    const revoked = await quarry('revoke', '--yes', '--reason', 'superseded', name);
    assert.deepEqual([revoked.code, revoked.stderr], [0, '']);
    assert.match(revoked.stdout, new RegExp(`\nrevoked: ${name}, serial ${serialOf(chain)}\n$`));
    assert.deepEqual(await fleet.pebble.certificateStatus(chain), { status: 'Revoked', reason: 4 });
    const [gone] = await untilListed(name, all => all[0]?.revoked !== null);
    assert.match(gone?.revoked?.by ?? '', /^operator /);
    assert.deepEqual(await list('--revoked', name), [gone]);

    const next = await post(csr);
    assert.notEqual(serialOf(next), serialOf(chain));
    const again = await quarry('revoke', '--yes', serialOf(chain));
    assert.deepEqual(
      [again.code, again.stderr],
      [1, `quarry: what is called ${serialOf(chain)} is revoked already\n`],
    );
    assert.deepEqual((await fleet.pebble.certificateStatus(next)).status, 'Valid');
  });

  test('forgets what is stored, so that the next post orders anew, and it stays valid', async () => {
    const name = 'forgotten.inventory.example';
    const csr = await makeCsr({ names: [name] });
    const chain = await post(csr);
    assert.equal(await post(csr), chain, 'it is in storage');
    await untilListed(name, all => all.length === 1);
    const { code, stdout } = await quarry('forget', '--yes', name);
    assert.equal(code, 0);
    const serial = serialOf(chain);
    assert.match(stdout, new RegExp(`\nforgotten: ${name}, serial ${serial}; removed from storage files\n$`));
    const next = await post(csr);
    assert.notEqual(serialOf(next), serial);
    assert.equal((await fleet.pebble.certificateStatus(chain)).status, 'Valid');
    const all = await untilListed(name, all => all.length === 2);
    const forgotten = all.find(one => one.serial === serial);
    assert.match(forgotten?.forgotten?.by ?? '', /^operator /);
    assert.ok(forgotten?.superseded, 'its successor is in the inventory');

    const several = await quarry('revoke', '--yes', name);
    assert.deepEqual(
      [several.code, several.stderr],
      [2, 'quarry: nothing is revoked, as there are several: say --all, or the serial number of one\n'],
    );
    const both = await quarry('revoke', '--yes', '--all', name);
    assert.equal(both.stdout.match(/^revoked: /gm)?.length, 2);
    for (const one of [chain, next])
      assert.equal((await fleet.pebble.certificateStatus(one)).status, 'Revoked');
  });

  test('knows no name that it does not have', async () => {
    const { code, stderr } = await quarry('forget', '--yes', 'none.inventory.example');
    const why = 'no certificate is called "none.inventory.example"; quarry certificates lists them all';
    assert.deepEqual([code, stderr], [1, `quarry: ${why}\n`]);
  });
});
