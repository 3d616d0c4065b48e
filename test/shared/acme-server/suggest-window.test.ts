import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suggestWindow, type WindowFacts } from '../../../shared/acme-server/suggest-window.ts';
import type { WindowMemory } from '../../../shared/renewal/ask-window.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const life = { notBefore: 100 * day, notAfter: 190 * day };
const now = 120 * day;
const window = { start: 150 * day, end: 152 * day };
const said: WindowMemory = { info: window, askAgain: now + 2 * hour, failures: 0 };
const none: WindowMemory = {
  info: { none: 'the CA has no renewal information' },
  askAgain: now + 20 * hour,
  failures: 0,
};

const windowOf = (facts: WindowFacts, memory?: WindowMemory) => {
  const { start, end } = suggestWindow(facts, memory, now);
  return { start: start / day, end: end / day };
};

for (const [what, facts, memory, start, end] of [
  ['what the CA says', life, said, 150, 152],
  ['the last third of its life where the CA was not asked yet', life, undefined, 160, 164.5],
  ['the last third of its life where the CA has no renewal information', life, none, 160, 164.5],
  ['half of a short life', { notBefore: 0, notAfter: 6 * day }, undefined, 3, 3.3],
  ['a third of ten days', { notBefore: 0, notAfter: 10 * day }, undefined, 10 - 10 / 3, 10 - 10 / 3 + 0.5],
  ["a CA's window up to the last twentieth of its life", life, late(180, 200), 180, 185.5],
  ["its own window where the CA's begins after that", life, late(185.5, 187), 160, 164.5],
] as const)
  test(`suggestWindow() suggests ${what}`, () => {
    const found = windowOf(facts, memory);
    assert.deepEqual(
      Object.values(found).map(at => at.toFixed(3)),
      [start, end].map(at => at.toFixed(3)),
    );
  });

test('suggestWindow() suggests no window that is too short for a client', () => {
  const oneSecond = { ...said, info: { start: 150 * day, end: 150 * day + 1_000 } };
  const short = suggestWindow(life, oneSecond, now);
  assert.deepEqual([short.end - short.start, short.end], [minute, oneSecond.info.end]);
  const taken = suggestWindow(life, { ...said, info: { start: now - 2_000, end: now - 1_000 } }, now);
  assert.deepEqual([taken.end - taken.start, taken.end], [minute, now - 1_000], 'it stays in the past');
  const cutShort = suggestWindow(life, late(185.4999, 187), now);
  assert.equal(cutShort.start / day, 160, 'what is left of it is a second or so');
});

function late(start: number, end: number): WindowMemory {
  return { ...said, info: { start: start * day, end: end * day } };
}

for (const [what, mark] of [
  ['is revoked', { revoked: now }],
  ['is to be reissued', { reissue: now }],
  ['was to be reissued and is revoked', { reissue: now, revoked: now - day }],
] as const)
  test(`suggestWindow() suggests a time before now for a certificate that ${what}, whatever the CA says`, () => {
    for (const memory of [undefined, said, none]) {
      const { start, end, askAgain } = suggestWindow({ ...life, ...mark }, memory, now);
      assert.ok(start < end && end < now);
      assert.equal(askAgain, now + hour);
    }
  });

test("suggestWindow() passes on the CA's page, also beside a window of its own", () => {
  const explanationUrl = 'https://ca.example/why';
  const memory = { ...said, info: { ...window, explanationUrl } };
  for (const facts of [life, { ...life, revoked: now }])
    assert.equal(suggestWindow(facts, memory, now).explanationUrl, explanationUrl);
  assert.ok(!('explanationUrl' in suggestWindow(life, said, now)));
});

test('suggestWindow() has the client come when the CA is asked again, within a minute and six hours, and soon while nothing is known', () => {
  const pause = (memory: WindowMemory | undefined) =>
    (suggestWindow(life, memory, now).askAgain - now) / minute;
  assert.equal(pause(said), 120);
  assert.equal(pause({ ...said, askAgain: now + 1 }), 1);
  assert.equal(pause({ ...said, askAgain: now + 23 * hour }), 360);
  assert.equal(pause({ ...said, askAgain: undefined }), 360, 'the CA is asked no more');
  for (const memory of [undefined, { ...said, askAgain: now }, { ...said, askAgain: now + 48 * hour }])
    assert.equal(pause(memory), 5);
});
