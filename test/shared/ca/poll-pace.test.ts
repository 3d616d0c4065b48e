import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openPollPaces } from '../../../shared/ca/standing.ts';

/**
 * Lets a CA that takes so long be polled by so many orders, one after the other; tells how many first polls
 * came in vain.
 */
function pollCa(takes: number, orders: number): { vain: number; first: number } {
  const { validation: pace } = openPollPaces();
  let vain = 0;
  let now = 1_000_000;
  for (let order = 0; order < orders; order++) {
    const tooSoon = pace.first < takes;
    if (tooSoon) vain++;
    now += pace.first;
    if (tooSoon) pace.late(now);
    else pace.early(now);
  }
  return { vain, first: pace.first };
}

test('PollPace comes down to a CA that needs milliseconds, without a poll in vain', () => {
  assert.deepEqual(pollCa(4, 100), { vain: 0, first: 5 });
});

test('PollPace goes up to a CA that needs seconds', () => {
  const { vain, first } = pollCa(3_000, 100);
  assert.ok(vain < 35, `${vain} polls in vain`);
  assert.ok(first > 2_000 && first <= 5_000, `${first} ms`);
});

test('PollPace, once it has met the pace of the CA, comes in vain no more than one time in eight', () => {
  const { vain, first } = pollCa(100, 400);
  assert.ok(vain <= 50, `${vain} polls in vain`);
  assert.ok(first >= 90 && first <= 150, `${first} ms`);
});

test('PollPace never waits over five seconds', () => {
  assert.equal(pollCa(60_000, 100).first, 5_000);
});

test('PollPace counts once what orders under way together have seen', () => {
  const { validation: pace } = openPollPaces();
  for (let order = 0; order < 64; order++) pace.late(1_000_000 + order);
  assert.equal(pace.first, 375);
  for (let order = 0; order < 64; order++) pace.early(1_001_000 + order);
  assert.equal(pace.first, 356.25);
});
