import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFresh } from '../../../shared/storage/storage.ts';

const day = 24 * 3_600_000;

/** How many days before its end a certificate stops being fresh, to the hour. */
function freshUntil(lifeDays: number, renewWithin: number, renewAhead = false): number {
  const certificate = { leaf: { notBefore: 0, notAfter: lifeDays * day } };
  let hours = 0;
  while (
    !isFresh(certificate, { renewWithin, renewAhead }, (lifeDays * 24 - hours) * 3_600_000) &&
    hours < lifeDays * 24
  )
    hours++;
  return (hours - 1) / 24;
}

for (const [life, renewWithin, left, why] of [
  [90, 14, 14, 'as it is'],
  [90, 45, 45, 'as it is up to half of the life'],
  [90, 46, 45, 'as half of the life when it is more'],
  [6, 14, 3, 'as half of a short life'],
  [6, 3, 3, 'as it is with a short life that is twice as long'],
  [90, 0, 0, 'as none'],
] as const)
  test(`isFresh() takes renew-within ${renewWithin} of ${life} days ${why}`, () => {
    assert.equal(freshUntil(life, renewWithin), left);
  });

test('isFresh() is false for a certificate that has ended, and for one that is about to', () => {
  const certificate = { leaf: { notBefore: 0, notAfter: 10 * day } };
  assert.equal(isFresh(certificate, { renewWithin: 0, renewAhead: false }, 10 * day), false);
  assert.equal(isFresh(certificate, { renewWithin: 0, renewAhead: false }, 11 * day), false);
  assert.equal(isFresh(certificate, { renewWithin: 0, renewAhead: false }, 10 * day - 1), true);
});

test('isFresh() gives Quarry a tenth of the life to renew ahead, and never up to the end', () => {
  assert.equal(freshUntil(90, 14, true), 7);
  assert.equal(freshUntil(90, 30, true), 21);
  assert.equal(freshUntil(90, 0, true), 0);
});

test('isFresh() is false from the time on that was set for the certificate, and true before', () => {
  const certificate = { leaf: { notBefore: 0, notAfter: 10 * day }, renewFrom: 2 * day };
  for (const renewAhead of [false, true]) {
    assert.equal(isFresh(certificate, { renewWithin: 0, renewAhead }, 2 * day - 1), true);
    assert.equal(isFresh(certificate, { renewWithin: 0, renewAhead }, 2 * day), false);
  }
});
