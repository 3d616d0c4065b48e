import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { renewalInfoId } from '../../shared/acme/renewal-info.ts';
import type { Clock } from '../../shared/base/basics.ts';
import type { ExplainedWindow } from '../../shared/renewal/renewal-window.ts';
import { describeShaman } from '../../shared/shaman/describe-shaman.ts';
import { type DomainOutcome, runShaman, type ShamanParts } from '../../shared/shaman/run-shaman.ts';
import { pathFolders } from '../support/find-command.ts';
import { quietLog } from '../support/quiet-log.ts';
import { setRenewalInfo, windowFromNow } from '../support/set-renewal-info.ts';
import { type Json, type ShamanDirectory, startShamanGround } from '../support/shaman-ground.ts';
import { shiftedClock } from '../support/shifted-clock.ts';

const DAY = 86_400_000;
const HOUR = 3_600_000;

const ground = await startShamanGround({
  profiles: {
    default: { description: '90 days', validityPeriod: 90 * 86_400 },
    shortlived: { description: '6 days', validityPeriod: 6 * 86_400 },
  },
});
after(() => ground[Symbol.asyncDispose]());
afterEach(() => ground.ca.clearRules());

const { ca, pebble } = ground;
const authorities = [await readFile(pebble.caFile, 'utf8')];

const directoryFor = (name: string, { renewal = 10, profile = 'default' } = {}) =>
  ground.directory({
    ...{ renewal, authenticators: { 'http-01': 'prove-challenge' } },
    domains: { [name]: { profile } },
  });

/** A run in this process, which is so many milliseconds ahead of the CA. */
async function runAhead(
  { path: directory }: ShamanDirectory,
  ahead: number,
  more: Pick<ShamanParts, 'spread' | 'explained' | 'issued' | 'patient'> = {},
): Promise<DomainOutcome> {
  const clock: Clock = shiftedClock(ahead);
  const { signal } = new AbortController();
  const parts = { directory, path: pathFolders(), ca: authorities, clock, log: quietLog, signal, ...more };
  const [outcome] = await runShaman(parts);
  assert.ok(outcome);
  assert.equal(outcome.error, undefined);
  return outcome;
}

const orders = (name: string) =>
  ca
    .requests()
    .filter(one => one.kind === 'newOrder' && one.identifiers?.some(({ value }) => value === name));

const serialOf = async (directory: ShamanDirectory, name: string) =>
  new X509Certificate(await directory.text(`${name}.cert.pub.pem`)).serialNumber;

const memoryOf = async (directory: ShamanDirectory, name: string) =>
  (await directory.json()).domains[name]?.quarry as { renewal: Json & { info: Json } };

/** A CA that has no renewal information. */
const withoutRenewalInfo = () =>
  ca.rule({
    kind: 'directory',
    do: {
      rewrite: ({ body }) => ({ body: JSON.stringify({ ...JSON.parse(`${body}`), renewalInfo: undefined }) }),
    },
  });

test('shaman renews so many days before the end, where the CA has no renewal information', async () => {
  withoutRenewalInfo();
  const name = 'days.example';
  const directory = await directoryFor(name, { renewal: 30 });
  assert.equal((await runAhead(directory, 0)).did, 'issued');
  const first = await serialOf(directory, name);
  assert.equal((await runAhead(directory, 59 * DAY)).did, 'kept');
  const [facts] = await describeShaman(directory.path);
  assert.equal(facts?.plan?.why, 'with 30 days left, as the CA has no renewal information');
  assert.equal((facts?.certificate?.life.notAfter ?? 0) - (facts?.plan?.at ?? 0), 30 * DAY);
  assert.equal((await runAhead(directory, 61 * DAY)).did, 'issued');
  assert.notEqual(await serialOf(directory, name), first);
  assert.equal((await runAhead(directory, 0)).did, 'kept');
  assert.deepEqual(
    orders(name).map(({ replaces }) => replaces),
    [undefined, undefined],
  );
});

test('shaman tries again what failed by a clock that was ahead', async () => {
  const name = 'failed.example';
  const directory = await directoryFor(name);
  const profile = await directory.json();
  const last = new Date(Date.now() + 400 * DAY).toISOString();
  const domains = {
    [name]: { ...profile.domains[name], quarry: { failures: { count: 3, last, detail: 'away' } } },
  };
  await writeFile(join(directory.path, 'shaman.json'), JSON.stringify({ ...profile, domains }));
  assert.equal((await runAhead(directory, 0, { patient: true })).did, 'kept', 'it counts as of now');
  assert.equal((await runAhead(directory, 3 * HOUR, { patient: true })).did, 'issued');
});

test("shaman renews in the CA's window, at a time that is chosen once, and says what it replaces", async () => {
  const name = 'window.example';
  const directory = await directoryFor(name);
  await runAhead(directory, 0);
  const chain = await directory.text(`${name}.cert.pub.pem`);
  await setRenewalInfo(pebble, chain, windowFromNow(2 * DAY, 4 * DAY, 'https://ca.example/why'));
  const asked = ca.counts().renewalInfo;
  await runAhead(directory, HOUR);
  assert.equal(ca.counts().renewalInfo, asked, 'it is too early to ask again');

  assert.equal((await runAhead(directory, DAY)).did, 'kept');
  assert.equal(ca.counts().renewalInfo, asked + 1);
  const { renewal } = await memoryOf(directory, name);
  assert.match(`${renewal.why}`, /^the CA suggests .* to .*, see https:\/\/ca\.example\/why$/);
  const [start, at, end] = [renewal.info.start, renewal.at, renewal.info.end].map(time =>
    Date.parse(`${time}`),
  );
  assert.ok((start ?? 0) <= (at ?? 0) && (at ?? 0) <= (end ?? 0));
  await runAhead(directory, 1.9 * DAY);
  assert.equal((await memoryOf(directory, name)).renewal.at, renewal.at);

  const ahead = (at ?? 0) - Date.now();
  assert.equal((await runAhead(directory, ahead - HOUR)).did, 'kept');
  assert.equal((await runAhead(directory, ahead + HOUR)).did, 'issued');
  assert.deepEqual(
    orders(name).map(({ replaces, status }) => [replaces, status]),
    [
      [undefined, 201],
      [renewalInfoId(chain), 201],
    ],
  );
  assert.equal((await runAhead(directory, 0)).did, 'kept');
});

test('shaman renews at once when the CA suggests a window that is over, and passes on what explains it', async () => {
  const name = 'revoked.example';
  const directory = await directoryFor(name);
  await runAhead(directory, 0);
  const page = 'https://ca.example/incident';
  await setRenewalInfo(
    pebble,
    await directory.text(`${name}.cert.pub.pem`),
    windowFromNow(-DAY, -HOUR, page),
  );
  const told: unknown[] = [];
  const explained = async (names: string[], { explanationUrl }: ExplainedWindow) =>
    void told.push([names, explanationUrl]);
  assert.equal((await runAhead(directory, DAY, { explained })).did, 'issued');
  assert.equal((await runAhead(directory, 0, { explained })).did, 'kept');
  assert.deepEqual(told, [[[name], page]]);
});

test('shaman orders once more without replaces where another order has replaced the certificate already', async () => {
  const name = 'replaced.example';
  const directory = await directoryFor(name);
  const told: unknown[] = [];
  const issued = async (...chain: unknown[]) => void told.push(chain);
  await runAhead(directory, 0, { issued });
  assert.deepEqual(told, [[ca.directoryUrl, await directory.text(`${name}.cert.pub.pem`)]]);
  const before = await directory.json();
  await setRenewalInfo(pebble, await directory.text(`${name}.cert.pub.pem`), windowFromNow(-DAY, -HOUR));
  assert.equal((await runAhead(directory, DAY)).did, 'issued');
  await directory.write(before); // as after a restore from a backup
  ca.reset();
  assert.equal((await runAhead(directory, DAY)).did, 'issued');
  const [refused, made, ...more] = orders(name);
  assert.deepEqual([refused?.status, made?.status, more.length], [409, 201, 0]);
  assert.ok(refused?.replaces);
  assert.equal(made?.replaces, undefined);
});

test('shaman renews a certificate of six days at half of its life, and not at every run', async () => {
  withoutRenewalInfo();
  const name = 'six-days.example';
  const directory = await directoryFor(name, { renewal: 10, profile: 'shortlived' });
  assert.equal((await runAhead(directory, 0)).did, 'issued');
  for (const ahead of [0, DAY, 2.9 * DAY]) assert.equal((await runAhead(directory, ahead)).did, 'kept');
  assert.equal((await runAhead(directory, 3.1 * DAY)).did, 'issued');
  assert.equal((await runAhead(directory, 0)).did, 'kept');
  assert.deepEqual(
    orders(name).map(({ profile }) => profile),
    ['shortlived', 'shortlived'],
  );
});

test('shaman renews by days where renewal information cannot be had, and goes by what it knew before', async () => {
  const name = 'outage.example';
  const directory = await directoryFor(name);
  ca.rule({ kind: 'renewalInfo', do: { answer: { status: 503 } } });
  assert.equal((await runAhead(directory, 0)).did, 'issued');
  const { renewal } = await memoryOf(directory, name);
  assert.match(`${renewal.why}`, /^with 10 days left, as .*503/);
  ca.clearRules();
  await setRenewalInfo(pebble, await directory.text(`${name}.cert.pub.pem`), windowFromNow(2 * DAY, 3 * DAY));
  await runAhead(directory, DAY);
  ca.rule({ kind: 'renewalInfo', do: { answer: { status: 503 } } });
  await runAhead(directory, 1.9 * DAY);
  assert.match(`${(await memoryOf(directory, name)).renewal.why}`, /^the CA suggests/);
  assert.equal((await runAhead(directory, 3.1 * DAY)).did, 'issued');
});

test('shaman spreads renewals by days where it is told to, each at a time of its own that is kept', async () => {
  withoutRenewalInfo();
  const name = 'spread.example';
  const directory = await directoryFor(name, { renewal: 30 });
  const { facts } = await runAhead(directory, 0, { spread: true });
  const from = (facts.certificate?.life.notAfter ?? 0) - 30 * DAY;
  const at = facts.plan?.at ?? 0;
  assert.ok(from < at && at < from + 4.5 * DAY, 'within a twentieth of its life');
  assert.equal(Math.floor(at), Date.parse(`${(await memoryOf(directory, name)).renewal.at}`));
  assert.equal((await describeShaman(directory.path))[0]?.plan?.at, at);
  assert.equal((await runAhead(directory, at - Date.now() - HOUR, { spread: true })).did, 'kept');
  assert.equal((await runAhead(directory, at - Date.now() + HOUR, { spread: true })).did, 'issued');
});
