import assert from 'node:assert/strict';
import { test } from 'node:test';
import { account, loadText, refusal } from '../setup/load-text.ts';

const block = (...options: string[]) =>
  `[auth "a"]\nall = yes\ndomain = a\n${options.join('\n')}\n${account}`;

test('[auth] has no bounds, unless it says so', async () => {
  const { auth } = await loadText(block());
  assert.equal('bounds' in (auth[0] ?? {}), false);
  const off = await loadText(block('rate = off', 'block-rate = no'));
  assert.equal('bounds' in (off.auth[0] ?? {}), false);
});

test('[auth] reads slots, queue-max and rates', async () => {
  const { auth } = await loadText(
    block('slots = 4', 'queue-max = 500', 'rate = 60/min', 'block-rate = 1000/2h'),
  );
  assert.deepEqual(auth[0]?.bounds, {
    slots: 4,
    queueMax: 500,
    rate: { count: 60, period: 60_000 },
    blockRate: { count: 1000, period: 7_200_000 },
  });
});

for (const [written, period] of [
  ['5/s', 1_000],
  ['5/10sec', 10_000],
  ['5 / m', 60_000],
  ['5/hour', 3_600_000],
  ['5/day', 86_400_000],
] as const)
  test(`[auth] reads ${written}`, async () => {
    const { auth } = await loadText(block(`rate = ${written}`));
    assert.deepEqual(auth[0]?.bounds?.rate, { count: 5, period });
  });

for (const [option, why] of [
  ['slots = 0', /is not a whole number from 1/],
  ['slots = many', /is not a whole number from 1/],
  ['queue-max = -1', /is not a whole number from 1/],
  ['rate = 60', /is neither a rate such as 300\/3h or 60\/min, nor off/],
  ['rate = 0/min', /is neither a rate/],
  ['block-rate = 60/moon', /is neither a rate/],
] as const)
  test(`[auth] refuses ${option}`, async () => {
    assert.match(await refusal(block(option)), new RegExp(`${option.split(' ')[0]}: ${why.source}`));
  });
