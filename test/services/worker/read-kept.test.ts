import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readKept } from '../../../services/worker/read-kept.ts';
import type { SavedProgress } from '../../../shared/queue/saved-progress.ts';

const hour = 3_600_000;
const day = 24 * hour;
const now = Date.UTC(2027, 0, 1);

/** What a worker finds that this was kept for. */
async function readBack(saved: SavedProgress) {
  const records = { readJob: async () => ({ checkpoint: saved, resultWritten: undefined }) };
  const lock = { jobId: 'job', token: 'token' };
  return (await readKept({ records, clock: { now: () => now } } as never, { lock } as never)).checkpoint;
}

const progress = (at: number, lookAt: number, ...refusals: number[]): SavedProgress => ({
  orders: {
    default: {
      ...{ failures: 1, lostOrders: 0, begun: at },
      order: {
        url: 'https://ca.example/order/1',
        challenges: [],
        initiated: true,
        polls: 2,
        initiatedAt: at,
        lookAt,
      },
    },
  },
  refusals: refusals.map(until => ({ account: 'other', code: 'rateLimited', detail: 'too many', until })),
});

test('what is kept of a job is read as it was written', async () => {
  const saved = progress(now - 60_000, now + 60_000, now + day);
  assert.deepEqual(await readBack(saved), saved);
});

test('a job that was under way by a clock that was ahead has begun by now, and asks again who had refused', async () => {
  const ahead = now + 400 * day;
  assert.deepEqual(await readBack(progress(ahead, ahead, ahead, now)), progress(now, now + hour, now));
});
