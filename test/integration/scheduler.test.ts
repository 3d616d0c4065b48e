import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cp, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { hastenTask } from '../../shared/queue/schedule.ts';
import { makeCsr } from '../support/csr.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { shiftedTime } from '../support/shifted-time.ts';
import { waitUntil } from '../support/wait-until.ts';

let fleet: Fleet;
const time = await shiftedTime();
before(async () => {
  fleet = await startFleet({
    roles: [],
    time,
    pebble: { profiles: { brief: { description: 'one day', validityPeriod: 86_400 } } },
  });
});
after(async () => {
  await fleet[Symbol.asyncDispose]();
  await time[Symbol.asyncDispose]();
});

const twoDays = 2 * 86_400_000;

const figure = async (adminUrl: string, name: string) =>
  Number(
    new RegExp(`^${name} (\\S+)$`, 'm').exec(await (await fetch(`${adminUrl}/metrics`)).text())?.[1] ??
      Number.NaN,
  );

suite('the scheduler role', () => {
  test('finds what was stored before it came, and removes it once it has expired', async () => {
    const directory = join(fleet.dir, 'storage', 'brief');
    const blocks = `[storage "kept"]
type = file
directory = ${directory}
keep-expired = 0
[auth "all"]
all = yes
domain = *`;
    for (const role of ['intake', 'worker', 'responder'] as const) await fleet.start(role, { blocks });
    const { csrPem } = await makeCsr({ names: ['brief.example'] });
    const { status, body } = await fleet.post(csrPem);
    assert.equal(status, 200, body);
    const digest = createHash('sha384').update(csrPem).digest('hex');
    const folder = join(directory, digest.slice(0, 2));
    assert.deepEqual(await readdir(folder), [digest.slice(2)]);
    await cp(folder, join(directory, '00'), { recursive: true }); // as somebody else would have put it there

    await time.set(twoDays); // what was issued today has ended
    const schedulers = await Promise.all([1, 2].map(() => fleet.start('scheduler', { blocks })));
    const found = () => schedulers.some(({ log }) => log().some(({ added }) => Number(added) >= 1));
    await waitUntil('the entry to be found', found);
    await hastenTask({ redis: fleet.redisClient, prefix: '{quarry}' }, 'expire/kept', 0);
    const gone = async (path: string) => (await readdir(path).catch(() => [])).length === 0;
    await waitUntil(
      'both entries to be removed',
      async () => (await gone(folder)) && (await gone(join(directory, '00'))),
    );
    const removed = () =>
      schedulers
        .flatMap(({ log }) => log())
        .filter(({ msg }) => msg === 'expired certificates removed')
        .reduce((sum, { removed }) => sum + Number(removed), 0);
    await waitUntil('both removals to be logged', () => removed() >= 2);
    assert.equal(removed(), 2);
    const [one] = schedulers;
    assert.ok(one);
    assert.equal(await figure(one.adminUrl, 'quarry_scheduler_certificates_managed'), 0);
  });
});
