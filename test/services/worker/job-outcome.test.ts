import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jobOutcome } from '../../../services/worker/job-outcome.ts';
import { IssuanceError, type IssuanceErrorCode } from '../../../shared/base/errors.ts';

const hour = 3_600_000;
const job = { begunAt: 0, failures: 0, lostOrders: 0 };

const failed = (code: IssuanceErrorCode, retryAfter?: number) => new IssuanceError(code, 'x', { retryAfter });

for (const code of [
  'badCsr',
  'denied',
  'challengeFailed',
  'rateLimited',
  'misconfigured',
  'unexpected',
] as const)
  test(`jobOutcome() tells the client of ${code} at once`, () => {
    assert.deepEqual(jobOutcome(failed(code), job, 0), { do: 'fail' });
  });

test('jobOutcome() does not try a bug again', () => {
  assert.deepEqual(jobOutcome(new TypeError('x'), job, 0), { do: 'fail' });
});

test('jobOutcome() comes back to a CA that is away, at a random time that doubles up to a minute', () => {
  for (const [failures, about] of [
    ...[[0, 1_000] as const, [1, 2_000] as const, [5, 32_000] as const],
    ...[[6, 60_000] as const, [5_000, 60_000] as const],
  ]) {
    const outcome = jobOutcome(failed('unavailable'), { ...job, failures }, 500);
    assert.ok(outcome.do === 'retry' && !outcome.withNewOrder);
    assert.ok(
      outcome.at - 500 >= about * 0.75 && outcome.at - 500 <= about * 1.25,
      `${failures}: ${outcome.at}`,
    );
  }
});

test('jobOutcome() does not come back before the CA wants it', () => {
  const outcome = jobOutcome(failed('unavailable', 200_000), job, 0);
  assert.deepEqual(outcome, { do: 'retry', at: 200_000, withNewOrder: false });
});

test('jobOutcome() fails a job that would be older than an hour', () => {
  assert.deepEqual(jobOutcome(failed('unavailable'), job, hour), { do: 'fail' });
  assert.deepEqual(jobOutcome(failed('unavailable', hour + 1), job, 0), { do: 'fail' });
  assert.equal(jobOutcome(failed('unavailable', hour), job, 0).do, 'retry');
});

test('jobOutcome() makes a new order where the CA has lost one, five times', () => {
  const outcomes = [0, 4, 5].map(lostOrders => jobOutcome(failed('gone'), { ...job, lostOrders }, 0));
  assert.deepEqual(
    outcomes.map(outcome => outcome.do === 'retry' && outcome.withNewOrder),
    [true, true, false],
  );
});
