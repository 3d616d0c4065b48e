import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  askWindow,
  learnWindow,
  type WindowAnswer,
  type WindowMemory,
} from '../../../shared/renewal/ask-window.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { startFakeCa } from '../acme/fake-ca.ts';
import { connect } from '../acme/open-connection.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const life = { notBefore: 0, notAfter: 90 * day };
const window = { start: 60 * day, end: 62 * day };
const unknown: WindowMemory = { info: { none: 'the CA was not asked yet' }, askAgain: 0, failures: 0 };
const known: WindowMemory = { info: window, askAgain: 0, failures: 2 };
const never = new AbortController().signal;
const away: WindowAnswer = { code: 'unavailable', reason: 'it is away' };

const learn = (answer: WindowAnswer, { from = unknown, now = 0, random = 0 } = {}) =>
  learnWindow(from, answer, life, now, random);

test('learnWindow() asks when the CA said, up to a tenth later, so that questions stay spread', () => {
  const answer = { info: { ...window, askAgain: 50 * day + 6 * hour } };
  assert.equal(learn(answer, { now: 50 * day }).askAgain, 50 * day + 6 * hour);
  assert.equal(learn(answer, { now: 50 * day, random: 0.5 }).askAgain, 50 * day + 6.3 * hour);
});

test('learnWindow() backs off from a CA that fails, from a minute up to six hours', () => {
  const wait = (failures: number) =>
    (learn(away, { from: { ...unknown, failures: failures - 1 }, random: 0.5 }).askAgain ?? 0) / minute;
  assert.deepEqual([1, 2, 3, 20].map(wait), [1, 2, 4, 360]);
});

test('learnWindow() asks after what the error says where asking sooner is useless', () => {
  const useless = { code: 'unexpected', retryAfter: 6 * hour, reason: 'no suggested window' };
  assert.equal(learn(useless).askAgain, 6 * hour);
});

test('learnWindow() looks once a day whether the CA has renewal information by now', () => {
  const { info, askAgain = 0 } = learn({ info: undefined }, { random: 0.99 });
  assert.ok(askAgain > 20 * hour && askAgain < day);
  assert.deepEqual(info, { none: 'the CA has no renewal information' });
});

test('learnWindow() asks no more once the certificate has ended', () => {
  assert.equal(learn({ info: undefined }, { now: 90 * day }).askAgain, undefined);
  assert.equal(learn(away, { now: 90 * day }).askAgain, undefined);
});

test('learnWindow() keeps what was known while the CA fails, and forgets the failures when it answers', () => {
  const failed = learn(away, { from: known });
  assert.deepEqual([failed.info, failed.failures, failed.fault], [window, 3, 'it is away']);
  assert.deepEqual(learn(away).info, { none: 'renewal information cannot be had: it is away' });
  const answered = learn({ info: { ...window, askAgain: 1 } }, { from: known });
  assert.deepEqual([answered.failures, answered.fault], [0, undefined]);
  assert.equal(learn({ info: undefined }, { from: known }).failures, 0);
});

test('learnWindow() says that the window is explained when the page is a new one', () => {
  const explained = { ...window, explanationUrl: 'https://ca.example/a' };
  const answer = { info: { ...explained, askAgain: 1 } };
  assert.deepEqual(learn(answer).explained, explained);
  assert.deepEqual(learn(answer, { from: known }).explained, explained);
  assert.equal(learn(answer, { from: { ...known, info: explained } }).explained, undefined);
  const other = { ...explained, explanationUrl: 'https://ca.example/b' };
  assert.deepEqual(learn(answer, { from: { ...known, info: other } }).explained, explained);
});

test('askWindow() asks nothing before its time, and nothing where there is none', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl, turnedClock(10 * day));
  for (const askAgain of [10 * day + 1, undefined]) {
    const told = { ...known, askAgain };
    assert.deepEqual(await askWindow(connection, { id: 'a.b', life }, told, never), told);
  }
  assert.deepEqual(ca.requests, []);
});

test('askWindow() asks now where its time is later than any that a CA may say', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl, turnedClock(10 * day));
  ca.on('/dir', () => ({ body: { renewalInfo: `${ca.url}/info` } }));
  const ahead = { ...known, askAgain: 410 * day };
  await askWindow(connection, { id: 'a.b', life }, ahead, never);
  assert.ok(ca.requests.some(({ path }) => path === '/info/a.b'));
});

test('askWindow() learns of every fault but the end of its signal', async () => {
  await using ca = await startFakeCa();
  using connection = connect(ca.directoryUrl, turnedClock(10 * day));
  ca.on('/dir', () => ({ body: { renewalInfo: `${ca.url}/info` } }));
  ca.on('/info/a.b', () => ({ status: 503 }));
  const look = await askWindow(connection, { id: 'a.b', life }, known, never);
  assert.deepEqual([look.info, look.failures], [window, 3]);
  assert.match(look.fault ?? '', /503/);
  const stopping = AbortSignal.abort(new Error('stopping'));
  await assert.rejects(askWindow(connection, { id: 'a.b', life }, known, stopping), /stopping/);
});
