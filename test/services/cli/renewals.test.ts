import assert from 'node:assert/strict';
import { beforeEach, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { renewalsCommand } from '../../../services/cli/renewals.ts';
import { type ManagedCertificate, openRenewalIndex } from '../../../shared/renewal/renewal-index.ts';
import { startOwnRedis } from '../../contract/own-redis.ts';
import { waitUntil } from '../../support/wait-until.ts';

const { url, redis } = await startOwnRedis();
const index = openRenewalIndex({ redis, prefix: '{quarry}' });
const env = { REDIS_URL: url };
const day = 24 * 3_600_000;
const start = Date.parse('2026-01-01T00:00:00Z');

/** More than two parts of what Redis gives at once, and no multiple of one. */
const many = 1_234;

function managed(number: number, more: Partial<ManagedCertificate> = {}): ManagedCertificate {
  const at = start + 60 * day;
  return {
    ...{ id: `stored/kept/${`${number}`.padStart(8, '0')}`, certificate: `a.${number}`, named: true },
    ...{ names: [`n${number}.example`], notBefore: start, notAfter: start + 90 * day, renews: true },
    ...{ info: { none: 'the CA was not asked yet' }, pollFailures: 0, ahead: false, looked: true },
    plan: { at, first: at, why: 'with 30 days left' },
    ...more,
  };
}

/** Fills the index; the ends go from the last to the first, several of them at once. */
async function fill(count: number, perEnd: number): Promise<void> {
  const entries = Array.from({ length: count }, (_, number) =>
    managed(number, { notAfter: start + 90 * day - Math.floor(number / perEnd) * 1_000 }),
  );
  await Promise.all(entries.map(one => index.add(one, one.plan.at)));
}

/** What the command writes, write by write. */
async function list(...words: string[]): Promise<string[]> {
  const written: string[] = [];
  await renewalsCommand.run(words, { env, write: text => void written.push(text) });
  return written;
}

const listed = (written: string[]) => written.join('').match(/stored\/kept\/\d+/g) ?? [];

suite('quarry renewals', () => {
  beforeEach(() => redis.flushall());

  test('tells that there is nothing', async () => {
    assert.equal((await list()).join(''), 'nothing is renewed ahead\n');
    assert.equal((await list('--json')).join(''), '[]\n');
  });

  for (const perEnd of [1, 7, many])
    test(`lists each once, the soonest to expire first, with ${perEnd} of one end, and holds only a part of them`, async () => {
      await fill(many, perEnd);
      const written = await list();
      const ids = listed(written);
      assert.equal(new Set(ids).size, many);
      assert.equal(ids.length, many);
      const ends = ids.map(id => -Math.floor(Number(id.slice(-8)) / perEnd));
      assert.deepEqual(
        ends,
        ends.toSorted((a, b) => a - b),
      );
      assert.ok(Math.max(...written.map(text => listed([text]).length)) < many / 2);
    });

  test('writes for each one what is known of it, and nothing of what is only watched', async () => {
    await index.add(managed(1), start);
    await index.add(managed(2, { notAfter: start + 80 * day }), start);
    await index.add(managed(3, { renews: false }), start);
    await index.fetched(managed(1).id, { at: start + day, block: 'web' });
    const plan = 'renewed 2026-03-02T00:00:00Z: with 30 days left';
    assert.equal(
      (await list()).join(''),
      `n2.example
    stored/kept/00000002
    valid until 2026-03-22T00:00:00Z
    ${plan}
n1.example
    stored/kept/00000001
    valid until 2026-04-01T00:00:00Z, last fetched 2026-01-02T00:00:00Z by "web"
    ${plan}
`,
    );
  });

  test('reads no more while a reader has not taken what was written', async () => {
    await fill(many, 7);
    const taken = Promise.withResolvers<void>();
    let written = 0;
    const write = () => {
      written++;
      return taken.promise;
    };
    const listing = renewalsCommand.run([], { env, write });
    await waitUntil('the first part', () => written > 0);
    await delay(50);
    assert.equal(written, 1);
    taken.resolve();
    await listing;
    assert.ok(written > 2);
  });

  test('writes JSON as one array, whatever parts it comes in', async () => {
    await fill(many, 7);
    const text = (await list('--json')).join('');
    const all = JSON.parse(text);
    assert.equal(all.length, many);
    assert.equal(text, `${JSON.stringify(all, null, 2)}\n`);
  });
});

test('listByEnd() lists what is renewed meanwhile once, and misses nothing else', async () => {
  await redis.flushall();
  await fill(many, 600);
  const ids: string[] = [];
  for await (const part of index.listByEnd()) {
    ids.push(...part.map(({ id }) => id));
    const [first] = part;
    if (first)
      await index.add({ ...first, certificate: 'b', notAfter: start + 180 * day }, start + 150 * day);
  }
  assert.equal(new Set(ids).size, many);
  assert.equal(ids.length, many);
});
