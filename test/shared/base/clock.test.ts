import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../../shared/base/basics.ts';

test('systemClock.sleep() ends by itself, without a signal and with one', async () => {
  const before = systemClock.now();
  await systemClock.sleep(2);
  await systemClock.sleep(2, new AbortController().signal);
  assert.ok(systemClock.now() >= before);
});

test("systemClock.sleep() rejects with the signal's reason when that fires first", async () => {
  const reason = new Error('the worker is stopping');
  const controller = new AbortController();
  const sleeping = systemClock.sleep(60_000, controller.signal);
  controller.abort(reason);
  await assert.rejects(sleeping, error => error === reason);
  await assert.rejects(systemClock.sleep(60_000, controller.signal), error => error === reason);
});
