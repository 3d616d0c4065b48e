import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { describeProgress, nextLook, type Progress, toProgress } from '../../../shared/issue/progress.ts';
import { newCheckpoint, newOrderState } from '../../../shared/order/next-step.ts';
import type { OrderState } from '../../../shared/order/order-state.ts';
import type { SavedProgress } from '../../../shared/queue/saved-progress.ts';
import type { Standing } from '../../../shared/queue/standing.ts';
import { root } from '../../support/read-sources.ts';

const url = 'https://ca.example/order/1';
const at = Date.UTC(2026, 10, 27, 15);
const held: Standing = { isParked: false, isHeld: true, doing: undefined, saved: undefined };
const away: Standing = { ...held, isHeld: false };
const delayed: Standing = { ...away, back: at };

const challengeFor = (value: string) => ({
  ...{ identifier: { type: 'dns' as const, value }, url: `${url}/${value}`, token: 't' },
  ...{ solver: 'http', told: false },
});
const namesOf = (...names: string[]) => names.map(challengeFor);

function savedAt(order: Partial<OrderState>, { failures = 0, refused = [] as string[] } = {}): SavedProgress {
  const checkpoint = { ...newCheckpoint({ ...newOrderState(), ...order }), failures };
  const refusals = refused.map(account => ({ account, code: 'unavailable' as const, detail: 'no' }));
  return { orders: { first: checkpoint }, refusals };
}

const proving = savedAt({ url, challenges: namesOf('www.example.org') });
const finalized = savedAt({ url, initiated: true, finalizedAt: at });
const doingFinalize = { for: 'certificate', order: url } as const;

const lines: [string, Standing, string][] = [
  ['queued behind others', { ...away, behind: 3 }, 'queued behind 3'],
  ['queued as the next', { ...away, behind: 0 }, 'next in the queue'],
  ['queued again, with an order made', { ...away, behind: 2, saved: proving }, 'queued behind 2'],
  ['parked', { ...delayed, isParked: true }, 'waiting for a slot of its auth block'],
  [
    'kept by a limit',
    { ...delayed, doing: { for: 'limit', until: at + 500 } },
    'waiting for the limit of the CA until 2026-11-27T15:00:00Z',
  ],
  [
    'behind another order for the same names',
    { ...delayed, doing: { for: 'names' } },
    'waiting for another order for the same names',
  ],
  [
    'kept by a storage',
    { ...delayed, doing: { for: 'storage' } },
    'waiting for a storage that cannot be read',
  ],
  ['to try again', delayed, 'waiting to try again at 2026-11-27T15:00:00Z'],
  [
    'to try again after a failure, its order made',
    { ...delayed, saved: savedAt({ url }, { failures: 1 }) },
    'waiting to try again at 2026-11-27T15:00:00Z',
  ],
  [
    'with a time that is none',
    { ...delayed, back: 1e300 },
    'waiting to try again at +275760-09-13T00:00:00Z',
  ],
  ['just taken', held, 'the order is being made'],
  ['just taken, after the wait for a limit', { ...held, doing: { for: 'names' } }, 'the order is being made'],
  ['with an order', { ...held, saved: savedAt({ url }) }, 'the order is made'],
  ['with names to prove', { ...held, saved: proving }, 'proving www.example.org'],
  ['waiting for the CA to validate', { ...delayed, saved: proving }, 'proving www.example.org'],
  [
    'with many names to prove',
    {
      ...held,
      saved: savedAt({ url, challenges: namesOf('a.example', 'b.example', 'c.example', 'd.example') }),
    },
    'proving a.example, b.example, c.example and 1 more',
  ],
  ['about to finalize', { ...held, saved: proving, doing: doingFinalize }, 'finalizing'],
  [
    'with the word of an order before',
    { ...held, saved: proving, doing: { for: 'certificate', order: `${url}0` } },
    'proving www.example.org',
  ],
  ['waiting for the CA to issue', { ...delayed, saved: finalized }, 'finalizing'],
  ['whose worker is gone', { ...away, saved: proving }, 'waiting for another worker to go on'],
  [
    'refused by its account',
    { ...held, saved: savedAt({ url, challenges: namesOf('a.example') }, { refused: ['first'] }) },
    'the order is being made',
  ],
];

for (const [what, standing, line] of lines)
  test(`a job that is ${what} is told as: ${line}`, () => {
    assert.equal(describeProgress(toProgress(standing)), line);
  });

test('of the orders at several accounts, that of the account is told which has not refused', () => {
  const [first, second] = ['a.example', 'b.example'].map(name => savedAt({ url, challenges: namesOf(name) }));
  const saved = {
    orders: { one: first?.orders.first, two: second?.orders.first },
    refusals: [{ account: 'two', code: 'rateLimited', detail: 'no' }],
  } as SavedProgress;
  assert.equal(describeProgress(toProgress({ ...held, saved })), 'proving a.example');
});

const samples: { [Is in Progress['is']]: Extract<Progress, { is: Is }> } = {
  queued: { is: 'queued', behind: 3 },
  parked: { is: 'parked' },
  between: { is: 'between' },
  limited: { is: 'limited', until: at },
  joined: { is: 'joined' },
  unread: { is: 'unread' },
  later: { is: 'later', at },
  ordering: { is: 'ordering' },
  ordered: { is: 'ordered' },
  proving: { is: 'proving', identifiers: [{ type: 'dns', value: 'www.example.org' }] },
  finalizing: { is: 'finalizing' },
};

test('the page on HTTP says what each line means', () => {
  const page = readFileSync(join(root, 'services/docs/http.md'), 'utf8');
  const rows = page.split('\n').filter(line => line.startsWith('| `'));
  const unsaid = Object.values(samples)
    .map(progress => `\`${describeProgress(progress)}\``)
    .filter(line => !rows.some(row => row.split(' | ')[0]?.includes(line)));
  assert.deepEqual(unsaid, []);
});

test('what nobody tells of is looked at every two seconds, the far end of a queue and what workers tell every ten', () => {
  assert.equal(nextLook({ is: 'queued', behind: 100 }), 2_000);
  assert.equal(nextLook({ is: 'queued', behind: 101 }), 10_000);
  assert.equal(nextLook({ is: 'limited', until: at }), 2_000);
  assert.equal(nextLook({ is: 'finalizing' }), 10_000);
  assert.equal(nextLook(undefined), 2_000);
});
