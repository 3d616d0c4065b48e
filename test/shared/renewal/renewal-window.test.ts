import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renewalSpread } from '../../../shared/pki/life.ts';
import {
  isAlarming,
  isDue,
  ownRandom,
  planRenewal,
  type RenewalFacts,
} from '../../../shared/renewal/renewal-window.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const life = { notBefore: 0, notAfter: 90 * day };
const none = { none: 'the CA offers no renewal information' };

const plan = (facts: Partial<RenewalFacts>) =>
  planRenewal({ life, info: none, days: undefined, random: 0, ...facts });
const info = { start: 60 * day, end: 62 * day };

for (const [days, lifeDays, at, why] of [
  [undefined, 90, 60, 'a third of its life'],
  [undefined, 6, 4, 'a third of its life'],
  [30, 90, 60, '30 days'],
  [14, 64, 50, '14 days'],
  [46, 90, 45, 'half of its life'],
  [30, 6, 3, 'half of its life'],
  [0, 90, 90, '0 days'],
] as const)
  test(`planRenewal() renews a certificate of ${lifeDays} days with ${why} left where ${days ?? 'no'} days are set`, () => {
    const planned = plan({ days, life: { notBefore: 0, notAfter: lifeDays * day } });
    assert.equal(planned.at, at * day);
    assert.equal(planned.why, `with ${why} left, as the CA offers no renewal information`);
  });

test("planRenewal() follows the CA's window whatever the days say, at a time that its random number chooses", () => {
  assert.equal(plan({ info, days: 14, random: 0 }).at, 60 * day);
  assert.equal(plan({ info, days: 14, random: 0.5 }).at, 61 * day);
  assert.ok(plan({ info, random: 0.999 }).at < 62 * day);
});

test('planRenewal() tells why: the window, and the page that explains it', () => {
  const explained = { ...info, explanationUrl: 'https://ca.example/incident' };
  assert.equal(
    plan({ info: explained }).why,
    'the CA suggests 1970-03-02T00:00Z to 1970-03-04T00:00Z, see https://ca.example/incident',
  );
});

test('planRenewal() does not wait for a window in which the certificate would end', () => {
  assert.equal(plan({ info: { start: 89 * day, end: 95 * day }, random: 0.9 }).at, 85.5 * day);
});

test('planRenewal() spreads what is due by days at one moment over a twentieth of the life, and never up to the end', () => {
  assert.equal(plan({ days: 30, spread: true, random: 0 }).at, 60 * day);
  assert.equal(plan({ days: 30, spread: true, random: 0.5 }).at, 62.25 * day);
  assert.equal(renewalSpread(life, 30), 4.5 * day);
  assert.equal(renewalSpread(life, 4), day);
  assert.equal(renewalSpread(life, 0), 0);
});

test('planRenewal() waits after failures for 1, 10 and 100 minutes and then a day, at random seconds', () => {
  const last = 61 * day;
  const after = (count: number, random = 0) => plan({ failures: { count, last }, random }).at - last;
  assert.deepEqual(
    [1, 2, 3, 4, 9].map(count => after(count)),
    [minute, 10 * minute, 100 * minute, day, day],
  );
  assert.equal(after(1, 0.5), 1.05 * minute);
});

test('planRenewal() never waits longer than a twentieth of the life after a failure', () => {
  const short = { notBefore: 0, notAfter: 6 * day };
  assert.equal(plan({ life: short, failures: { count: 5, last: 4 * day } }).at, 4 * day + 7.2 * hour);
});

test('planRenewal() waits after a failure for as long as the CA wants', () => {
  const last = 61 * day;
  assert.equal(plan({ failures: { count: 1, last, retryAfter: last + 3 * hour } }).at, last + 3 * hour);
});

test('planRenewal() does not renew before the window because of an earlier failure', () => {
  assert.equal(plan({ info, failures: { count: 1, last: 30 * day } }).at, 60 * day);
});

test('isDue() is true for what is past, and for what falls before the next look', () => {
  const planned = plan({ info });
  assert.equal(isDue(planned, 59 * day), false);
  assert.equal(isDue(planned, 60 * day), true);
  assert.equal(isDue(planned, 70 * day), true);
  assert.equal(isDue(planned, 59.8 * day, 60.3 * day), true);
});

test('isAlarming() is true with less than a twentieth of the life left, also after the end', () => {
  assert.equal(isAlarming(life, 85 * day), false);
  assert.equal(isAlarming(life, 86 * day), true);
  assert.equal(isAlarming(life, 91 * day), true);
});

test('ownRandom() is the same for one certificate whenever it is asked, and even over many', () => {
  assert.equal(ownRandom('a.b'), ownRandom('a.b'));
  const numbers = Array.from({ length: 1_000 }, (_, index) => ownRandom(`a.${index}`));
  assert.ok(numbers.every(number => number >= 0 && number < 1));
  for (let tenth = 0; tenth < 10; tenth++) {
    const inTenth = numbers.filter(number => Math.floor(number * 10) === tenth).length;
    assert.ok(inTenth > 60 && inTenth < 140, `${inTenth} of 1000 in tenth ${tenth}`);
  }
});
