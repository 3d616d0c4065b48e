import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drawBack, drawBackFailures, drawBackLooks } from '../../../shared/renewal/draw-back.ts';
import type { ManagedCertificate } from '../../../shared/renewal/managed-certificate.ts';

const hour = 3_600_000;
const day = 24 * hour;
const now = Date.UTC(2027, 0, 1);
const failures = { count: 3, last: now - hour, reason: 'away' };

test('an attempt that failed has failed by now, and a CA is believed that asks for fourteen days', () => {
  for (const [written, drawn] of [
    [failures, failures],
    [
      { ...failures, retryAfter: now + 14 * day },
      { ...failures, retryAfter: now + 14 * day },
    ],
    [
      { ...failures, last: now + 400 * day },
      { ...failures, last: now },
    ],
    [
      { ...failures, last: now + 400 * day, retryAfter: now + 401 * day },
      { ...failures, last: now, retryAfter: now },
    ],
  ] as const)
    assert.deepEqual(drawBackFailures(written, now), drawn);
});

test('a job that renews has been made by now, and nothing else of the certificate changes', () => {
  const rest = { id: 'stored/a/b', names: ['a.example'], poll: now + day };
  const managed = (since: number, last: number) =>
    ({
      ...rest,
      job: { id: 'job', since },
      failures: { ...failures, last },
    }) as unknown as ManagedCertificate;
  assert.deepEqual(drawBack(managed(now + 400 * day, now + 399 * day), now), managed(now, now));
  assert.deepEqual(drawBack(managed(now - 1, now - 2), now), managed(now - 1, now - 2));
  assert.deepEqual(drawBack(rest as unknown as ManagedCertificate, now), rest);
});

test('a look after the pause that a CA asks for is no look of a clock that was ahead', async () => {
  const managed = (days: number) =>
    ({
      ...{ notAfter: now + 20 * day, plan: { at: now + days * day, first: now - day, why: 'it failed' } },
      failures: { ...failures, retryAfter: now + days * day },
    }) as ManagedCertificate;
  for (const [days, drawn] of [
    [14, []],
    [400, ['a']],
  ] as const) {
    const putOff: string[] = [];
    const redis = {
      zrangebyscore: async (key: string) => (key.endsWith(':due') ? ['a', `${now + days * day}`] : []),
    };
    const index = {
      read: async (ids: string[]) => ids.map(() => managed(days)),
      putOff: async (ids: string[]) => void putOff.push(...ids),
    };
    await drawBackLooks({ redis, prefix: 'x' } as never, index, now);
    assert.deepEqual(putOff, drawn);
  }
});
