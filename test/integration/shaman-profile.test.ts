import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { openRenewalIndex, type RenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { callQuarryWith } from '../support/call-quarry.ts';
import { assertChain } from '../support/chain.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { waitUntil } from '../support/wait-until.ts';

let fleet: Fleet;
let index: RenewalIndex;
let directory: string;
let blocks: string;
before(async () => {
  fleet = await startFleet({
    roles: ['responder'],
    pebble: { profiles: { default: { description: 'the only one', validityPeriod: 90 * 86_400 } } },
  });
  directory = join(fleet.dir, 'profile');
  await mkdir(directory);
  blocks = `[renewal "web"]
shaman-profile = ${directory}
[auth "all"]
all = yes
domain = *`;
  index = openRenewalIndex({ redis: fleet.redisClient, prefix: '{quarry}' });
  // A scheduler chooses it at random. Hours away, it is not what a run of these tests waits for.
  await fleet.redisClient.set(
    '{quarry}:schedule-minute',
    minuteOfHalfDay(new Date(Date.now() + 5 * 3_600_000)),
  );
});
after(() => fleet[Symbol.asyncDispose]());

const file = (name: string) => readFile(join(directory, name), 'utf8');
const managed = async (domain: string) => (await index.read([`profile/web/${domain}`]))[0];
const runs = () =>
  fleet
    .all('scheduler')
    .flatMap(one => one.log())
    .filter(({ task, msg }) => msg === 'task done' && task === 'profile/web');
const newOrders = (domain: string) =>
  fleet.ca
    .requests()
    .filter(({ kind, identifiers = [] }) => kind === 'newOrder' && identifiers[0]?.value === domain).length;

const minuteOfHalfDay = (at: Date) => (at.getUTCHours() % 12) * 60 + at.getUTCMinutes();

/** What the next run is planned for; undefined where it is neither. */
async function nextRun(): Promise<'twice a day' | 'after the backoff' | undefined> {
  const next = Number(await fleet.redisClient.zscore('{quarry}:schedule-times', 'profile/web'));
  const minute = Number(await fleet.redisClient.get('{quarry}:schedule-minute'));
  if (minuteOfHalfDay(new Date(next)) === minute) return 'twice a day';
  const { count = 0, last = 0 } = (await managed('broken.profile.example'))?.failures ?? {};
  const backoff = ([1, 10, 100][count - 1] ?? 0) * 60_000;
  // Up to a tenth longer, and then a tenth again, so that it is over for sure.
  return next >= last + 1.1 * backoff - 1 && next <= last + 1.21 * backoff + 1
    ? 'after the backoff'
    : undefined;
}

const quarry = async (...words: string[]) =>
  callQuarryWith(await fleet.ini({ blocks }), [...words, 'main.ini']);

suite('a shaman profile that the scheduler keeps', () => {
  test('gets its certificates from nothing, through the responders, by one of two schedulers', async () => {
    await fleet.misdirect('broken.profile.example');
    const domains = { 'www.profile.example': { names: ['profile.example'] }, 'broken.profile.example': {} };
    await writeFile(
      join(directory, 'shaman.json'),
      JSON.stringify({ server: fleet.ca.directoryUrl, renewal: 30, domains }),
    );
    await Promise.all([1, 2].map(() => fleet.start('scheduler', { blocks })));
    await waitUntil(
      'both domains to be known',
      async () => (await managed('broken.profile.example')) !== undefined,
    );

    const chain = await file('www.profile.example.cert.pub.pem');
    assertChain(`${chain.trim().replaceAll(/-\n-/g, '-\n\n-')}\n`, {
      ...{ rootPem: await fleet.pebble.rootPem(), keyPem: await file('www.profile.example.key.priv.pem') },
      names: ['www.profile.example', 'profile.example'],
    });
    assert.equal(newOrders('www.profile.example'), 1);
    assert.ok((await readdir(directory)).includes('account.key.priv.pem'));

    await waitUntil('the failed domain to be planned', async () => (await nextRun()) === 'after the backoff');
    const one = await managed('www.profile.example');
    assert.deepEqual(one?.names, ['www.profile.example', 'profile.example']);
    assert.equal(one.failures, undefined);
    const { stdout } = await quarry('renewals');
    assert.match(
      stdout,
      /^broken\.profile\.example\n {4}profile\/web\/broken\.profile\.example\n {4}there is no certificate yet\n/,
    );
    assert.match(stdout, /\n {4}last error, 20\S+Z: .*broken\.profile\.example/);
    assert.match(
      stdout,
      /\nwww\.profile\.example, profile\.example\n {4}profile\/web\/www\.profile\.example\n {4}valid until 20/,
    );
  });

  test('is renewed now when an operator wants it, and says why it cannot be', async () => {
    const chain = await file('www.profile.example.cert.pub.pem');
    const renewed = await quarry('renew', 'www.profile.example');
    assert.deepEqual([renewed.code, renewed.stderr], [0, '']);
    assert.match(renewed.stdout, /^renewed: www\.profile\.example, profile\.example, valid until 20/);
    assert.notEqual(await file('www.profile.example.cert.pub.pem'), chain);
    const refused = await quarry('renew', 'broken.profile.example');
    assert.equal(refused.code, 1);
    assert.match(
      refused.stderr,
      /^quarry: broken\.profile\.example cannot be renewed: .*broken\.profile\.example.*\n$/,
    );
  });

  test('is planned anew twice a day, at the same minute for all schedulers', async () => {
    await waitUntil('three runs, as were asked for', () => runs().length >= 3);
    assert.equal(newOrders('www.profile.example'), 2, 'the first one, and the one that was asked for');
    // A failed domain is tried again before, after the backoff, which may be over by now.
    const attempts = async () => (await managed('broken.profile.example'))?.failures?.count;
    await waitUntil(
      'all orders to be tries',
      async () => newOrders('broken.profile.example') === (await attempts()),
    );
    await waitUntil('the next run to be planned', async () => (await nextRun()) !== undefined);
  });

  test('loses a domain from the index once it is in the profile no more', async () => {
    await writeFile(
      join(directory, 'shaman.json'),
      JSON.stringify({ server: fleet.ca.directoryUrl, domains: { 'www.profile.example': {} } }),
    );
    await waitUntil('it to go', async () => {
      const one = await managed('broken.profile.example');
      if (one) await index.save(one, 0); // a run that has begun before may put it off
      return one === undefined;
    });
    assert.ok(await managed('www.profile.example'));
  });
});
