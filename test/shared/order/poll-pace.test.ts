import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newPollPaces } from '../../../shared/ca/poll-paces.ts';
import { learnPace, newOrderState } from '../../../shared/order/next-step.ts';

const polledOnce = { ...newOrderState(), initiated: true, polls: 1 };
const url = 'https://ca.example/order/1';

/** How the pace of issuance is learnt from what first polls find. */
function learning() {
  const paces = newPollPaces();
  const poll = (found: 'processing' | 'valid', now: number) =>
    learnPace(paces, { url, status: found, authorizations: [] }, polledOnce, now);
  return { poll, pace: paces.issuance };
}

/**
 * Lets a CA that takes so long be polled by so many orders, one after the other; tells how many first polls
 * came in vain.
 */
function pollCa(takes: number, orders: number): { vain: number; first: number } {
  const { poll, pace } = learning();
  let vain = 0;
  let now = 1_000_000;
  for (let order = 0; order < orders; order++) {
    const tooSoon = pace.first < takes;
    if (tooSoon) vain++;
    now += pace.first;
    poll(tooSoon ? 'processing' : 'valid', now);
  }
  return { vain, first: pace.first };
}

test('the first poll comes sooner and sooner at a CA that needs milliseconds, and never in vain', () => {
  assert.deepEqual(pollCa(4, 100), { vain: 0, first: 5 });
});

test('the first poll comes later and later at a CA that needs seconds', () => {
  const { vain, first } = pollCa(3_000, 100);
  assert.ok(vain < 35, `${vain} polls in vain`);
  assert.ok(first > 2_000 && first <= 5_000, `${first} ms`);
});

test('the first poll, once it has met the pace of the CA, comes in vain no more than one time in eight', () => {
  const { vain, first } = pollCa(100, 400);
  assert.ok(vain <= 50, `${vain} polls in vain`);
  assert.ok(first >= 90 && first <= 150, `${first} ms`);
});

test('the first poll never comes later than after five seconds', () => {
  assert.equal(pollCa(60_000, 100).first, 5_000);
});

test('what the first polls of orders under way together have found counts once', () => {
  const { poll, pace } = learning();
  for (let order = 0; order < 64; order++) poll('processing', 1_000_000 + order);
  assert.equal(pace.first, 375);
  for (let order = 0; order < 64; order++) poll('valid', 1_001_000 + order);
  assert.equal(pace.first, 356.25);
});
