import assert from 'node:assert/strict';
import { test } from 'node:test';
import { afterFailure, type FailureHistory } from '../../../shared/limits/failure-backoff.ts';

const MINUTE = 60_000;

/** Fails as soon as it may, over and over, and tells how long it had to wait each time, in minutes. */
function waitsOfFailures(count: number, random = 0): number[] {
  let history: FailureHistory | undefined;
  let now = 1_000_000;
  return Array.from({ length: count }, () => {
    history = afterFailure(history, now, random);
    const wait = history.until - now;
    now = history.until + 1;
    return wait / MINUTE;
  });
}

test('afterFailure() lets the first three failures of an hour be tried again at once, then waits longer and longer', () => {
  assert.deepEqual(waitsOfFailures(9), [0, 0, 0, 1, 10, 100, 1440, 1440, 1440]);
});

test('afterFailure() spreads its waits by up to a tenth', () => {
  assert.deepEqual(waitsOfFailures(5, 0.5), [0, 0, 0, 1.05, 10.5]);
});

test('afterFailure() forgets failures that are over an hour old while no wait was asked for', () => {
  let history: FailureHistory | undefined;
  for (let hours = 0; hours < 10; hours++) {
    history = afterFailure(history, hours * 61 * MINUTE, 0);
    assert.equal(history.until, hours * 61 * MINUTE);
  }
});

test('afterFailure() goes on with the next wait when a name fails again long after the last one', () => {
  const history = { recent: [], level: 2, until: 0 };
  assert.equal(afterFailure(history, 1_000_000, 0).until, 1_000_000 + 100 * MINUTE);
});

test('afterFailure() counts a failure for exactly an hour', () => {
  const [now, hour] = [100 * MINUTE, 60 * MINUTE];
  const wait = (age: number) =>
    afterFailure({ recent: [now - age, now - 2, now - 1], level: 0, until: 0 }, now, 0).until - now;
  assert.deepEqual([wait(hour), wait(hour - 1)], [0, MINUTE]);
});
