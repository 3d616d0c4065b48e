import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CaHungError,
  joinTrials,
  noteRepeats,
  toCaCpuPerOrder,
  toCpuPerOrder,
  toRate,
  untilCaHolds,
} from './trials.ts';

const trial = { latencies: [10, 20], seconds: 2, cpuSeconds: 0.03, caCpuSeconds: 0.01 };

test('orders a second and CPU an order are of all trials together', () => {
  const joined = joinTrials([
    trial,
    { latencies: [5, 6, 7, 8], seconds: 1, cpuSeconds: 0.03, caCpuSeconds: 0.02 },
  ]);
  assert.deepEqual(joined.latencies, [10, 20, 5, 6, 7, 8]);
  assert.equal(toRate(joined), 2);
  assert.equal(toCpuPerOrder(joined).toFixed(6), '10.000000');
  assert.equal(toCaCpuPerOrder(joined).toFixed(6), '5.000000');
});

test('trials are begun anew while the CA hangs, a few times, and for no other reason', async () => {
  const told: string[] = [];
  const hanging = async (times: number, repeated: number) => {
    if (repeated < times) throw new CaHungError('the CA hung');
    return repeated;
  };
  assert.equal(
    await untilCaHolds(
      repeated => hanging(2, repeated),
      line => told.push(line),
    ),
    2,
  );
  assert.equal(told.length, 2);
  await assert.rejects(
    untilCaHolds(
      repeated => hanging(9, repeated),
      () => {},
    ),
    CaHungError,
  );
  await assert.rejects(
    untilCaHolds(
      async repeated => assert.equal(repeated, 7),
      () => {},
    ),
    assert.AssertionError,
  );
});

test('a reader hears of runs that were repeated, and nothing where none was', () => {
  const of = (repeated: number) => ({ trial, commands: undefined, repeated });
  assert.deepEqual(noteRepeats([of(0)]), { repeatedRuns: 0, notes: [] });
  assert.deepEqual(noteRepeats([of(1), of(0)]).notes, ['1 run repeated because Pebble hung']);
  assert.deepEqual(noteRepeats([of(1), of(2)]), {
    repeatedRuns: 3,
    notes: ['3 runs repeated because Pebble hung'],
  });
});
