import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openFigures } from '../../../services/scheduler/figures.ts';
import { openMetrics } from '../../../shared/base/metrics.ts';

test('the figures of renewals tell no end where nothing is renewed, and nothing at all while Redis is away', async () => {
  const metrics = openMetrics();
  const none = { managed: 0, due: 0, failed: 0, soonestEnd: undefined };
  let counts: Parameters<typeof openFigures>[1] = async () => none;
  openFigures(metrics, () => counts());
  const figures = async () =>
    Object.fromEntries(
      [...(await metrics.metrics()).matchAll(/^quarry_scheduler_(\w+) (\S+)$/gm)].map(m => [m[1], m[2]]),
    );

  const zero = { certificates_managed: '0', certificates_due: '0', certificates_failed: '0' };
  assert.deepEqual(await figures(), zero);
  counts = async () => ({ managed: 2, due: 0, failed: 0, soonestEnd: 1_800_000_000_000 });
  assert.deepEqual(await figures(), {
    ...{ ...zero, certificates_managed: '2' },
    soonest_expiry_timestamp_seconds: '1800000000',
  });
  counts = async () => undefined;
  assert.deepEqual(await figures(), {});
});
