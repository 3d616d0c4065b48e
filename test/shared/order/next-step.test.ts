import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AcmeOrder } from '../../../shared/acme/objects.ts';
import { newPollPaces } from '../../../shared/ca/poll-paces.ts';
import { beforeHandOver } from '../../../shared/order/hand-over.ts';
import { learnPace, mustOutlive, newOrderState, nextStep } from '../../../shared/order/next-step.ts';
import type { OrderChallenge, OrderState } from '../../../shared/order/order-state.ts';

const url = 'https://ca.example/order/1';
const order = (status: AcmeOrder['status'], more: Partial<AcmeOrder> = {}): AcmeOrder => ({
  url,
  status,
  authorizations: [],
  finalize: 'https://ca.example/finalize/1',
  certificate: status === 'valid' ? 'https://ca.example/cert/1' : undefined,
  ...more,
});
const challenge = (name: string, told = false): OrderChallenge => ({
  identifier: { type: 'dns', value: name },
  url: `https://ca.example/challenge/${name}`,
  token: 'a-token',
  solver: 'http',
  told,
});
const made: OrderState = { ...newOrderState(), url };
const chosen: OrderState = { ...made, challenges: [challenge('a.example')] };
const told: OrderState = { ...chosen, initiated: true, initiatedAt: 5, polls: 1, lookAt: 2_005 };

test('an order that is taken up is made, asked for, or presented again', () => {
  const nothing = { saw: 'nothing' } as const;
  assert.deepEqual(nextStep(newOrderState(), nothing, 0).act, { do: 'create' });
  assert.deepEqual(nextStep(made, nothing, 0).act, { do: 'ask' });
  assert.deepEqual(nextStep(told, nothing, 0).act, { do: 'ask' });
  assert.deepEqual(nextStep({ ...chosen, presentedAt: 1 }, nothing, 0).act, { do: 'start' });
  assert.deepEqual(nextStep({ ...chosen, takenBack: true }, nothing, 0), {
    state: chosen,
    act: { do: 'start' },
  });
});

test('what is not changed is the same object, so that it is not saved again', () => {
  for (const state of [made, told, { ...chosen, presentedAt: 1 }])
    assert.equal(nextStep(state, { saw: 'nothing' }, 0).state, state);
  assert.equal(nextStep(told, { saw: 'order', order: order('ready') }, 0).state, told);
});

test('a new order begins anew, and remembers that it is sent without `replaces`', () => {
  const seen = { saw: 'order', order: order('pending') } as const;
  assert.deepEqual(nextStep({ ...newOrderState(), replaced: true }, seen, 0).state, {
    ...made,
    replaced: true,
  });
  assert.deepEqual(nextStep(newOrderState(), { saw: 'replacementRefused' }, 0), {
    state: { ...newOrderState(), replaced: true },
    act: { do: 'create' },
  });
});

for (const [status, state, act] of [
  ['pending', made, 'choose'],
  ['pending', told, 'wait'],
  ['ready', told, 'finalize'],
  ['processing', told, 'wait'],
  ['valid', told, 'download'],
  ['invalid', told, 'fail'],
] as const)
  test(`a ${status} order that ${state === told ? 'was' : 'was not'} told leads to ${act}`, () => {
    assert.equal(nextStep(state, { saw: 'order', order: order(status) }, 0).act.do, act);
  });

test('the CA is asked again when it said, and else ever later', () => {
  const at = (polls: number, retryAfter?: number) => {
    const { state, act } = nextStep(
      { ...told, polls, lookAt: Infinity },
      { saw: 'order', order: order('pending', { retryAfter }) },
      100,
    );
    assert.equal(state.polls, polls + 1);
    return act.do === 'wait' ? act.until : undefined;
  };
  assert.deepEqual([at(1), at(2), at(3), at(3, 9_000)], [350, 600, 1_100, 9_000]);
});

test('a CA is asked never more often than the backoff, and while it validates never less often than each half minute', () => {
  const next = (status: AcmeOrder['status'], polls: number, retryAfter: number) => {
    const seen = { saw: 'order', order: order(status, { retryAfter }) } as const;
    const { act } = nextStep({ ...told, polls, lookAt: Infinity }, seen, 100_000);
    return act.do === 'wait' ? act.until - 100_000 : act;
  };
  const [past, now, tomorrow] = [90_000, 100_000, 100_000 + 86_400_000];
  for (const at of [past, now])
    assert.deepEqual(
      [1, 2, 3, 4, 9].map(polls => next('pending', polls, at)),
      [250, 500, 1_000, 2_000, 10_000],
    );
  assert.equal(next('pending', 1, tomorrow), 30_000);
  assert.equal(next('processing', 1, tomorrow), 86_400_000);
});

test('an order that was told and does not move has its authorizations looked at, ever less often', () => {
  const pending = { saw: 'order', order: order('pending') } as const;
  let { state } = nextStep(chosen, { saw: 'initiated', at: 0 }, 0);
  assert.equal(nextStep(state, pending, 60_000).act.do, 'wait', 'the first poll comes in vain at many CAs');
  const looks: number[] = [];
  for (let now = 0; now < 300_000; ) {
    const step = nextStep(state, pending, now);
    const looked = { saw: 'looked', order: order('pending'), toldAgain: false } as const;
    if (step.act.do === 'look') looks.push(now);
    const { state: after, act } = step.act.do === 'look' ? nextStep(step.state, looked, now) : step;
    assert.ok(act.do === 'wait');
    [state, now] = [after, act.until];
  }
  const gaps = looks.map((at, index) => at - (looks[index - 1] ?? 0));
  for (const [index, least] of [2_000, 4_000, 8_000, 16_000, 32_000, 60_000].entries())
    assert.ok((gaps[index] ?? 0) >= least && (gaps[index] ?? 0) <= least + 10_000, `${gaps}`);
});

test('an order whose challenges were announced again is asked for as if for the first time', () => {
  const seen = { saw: 'looked', order: order('pending'), toldAgain: true } as const;
  const { state, act } = nextStep({ ...told, polls: 7, tries: 1, looks: 2 }, seen, 0);
  assert.deepEqual([state.tries, state.looks, state.polls, state.lookAt], [2, 3, 2, 16_000]);
  assert.deepEqual(act, { do: 'wait', until: 250 });
});

test('the order of an earlier job is asked for', () => {
  const { state, act } = nextStep(newOrderState(), { saw: 'kept', url }, 0);
  assert.deepEqual([state, act], [{ ...made, kept: true }, { do: 'ask' }]);
  const finalizing = nextStep(newOrderState(), { saw: 'kept', url, finalizedAt: 7 }, 0);
  assert.deepEqual(finalizing.state, { ...made, kept: true, finalizedAt: 7 });
});

test('challenges that are chosen are started, beside those that were presented before and are proven by now', () => {
  const { state, act } = nextStep(
    { ...made, challenges: [challenge('a.example'), challenge('b.example')] },
    { saw: 'challenges', challenges: [challenge('b.example')] },
    0,
  );
  assert.deepEqual(state.challenges, [challenge('a.example', true), challenge('b.example')]);
  assert.deepEqual(act, { do: 'start' });
});

test('an order with nothing left to prove is only waited for', () => {
  const { state, act } = nextStep(made, { saw: 'challenges', challenges: [] }, 0);
  assert.deepEqual([state.initiated, act], [true, { do: 'ask' }]);
});

test('responses that cannot be seen yet are looked for again, and the time of their presenting is kept', () => {
  const { state, act } = nextStep(chosen, { saw: 'missing', at: 40 }, 100);
  assert.deepEqual([state.presentedAt, state.polls, act], [40, 1, { do: 'wait', until: 350 }]);
});

test('the first poll comes at the pace of the CA', () => {
  const paces = newPollPaces();
  paces.validation.first = 200;
  const { state, act } = nextStep(chosen, { saw: 'initiated', at: 90 }, 100, paces);
  assert.deepEqual(act, { do: 'wait', until: 300 });
  assert.deepEqual([state.initiated, state.initiatedAt, state.polls], [true, 90, 1]);
});

for (const [status, act] of [
  ['processing', 'wait'],
  ['valid', 'download'],
  ['invalid', 'fail'],
  ['ready', 'wait'],
  ['pending', 'wait'],
] as const)
  test(`an order that is ${status} once finalized leads to ${act}, and has no challenges any more`, () => {
    const next = nextStep({ ...told, polls: 7 }, { saw: 'finalized', order: order(status) }, 0);
    assert.deepEqual([next.act.do, next.state.challenges], [act, []]);
  });

test('an order that is not ready to be finalized is asked for ever later', () => {
  const next = nextStep(
    { ...told, polls: 4 },
    { saw: 'finalized', order: order('ready'), notReady: true },
    0,
  );
  assert.deepEqual(next.act, { do: 'wait', until: 2_000 });
});

test('a chain is the end', () => {
  const { act } = nextStep(told, { saw: 'chain', chain: 'PEM', certificate: 'https://ca.example/cert/1' }, 0);
  assert.deepEqual(act, { do: 'end', chain: 'PEM', certificate: 'https://ca.example/cert/1' });
});

test('beforeHandOver() takes back only what the CA was told nothing of', () => {
  assert.deepEqual(beforeHandOver({ ...chosen, presentedAt: 3, polls: 2 }), { ...chosen, takenBack: true });
  assert.equal(beforeHandOver(made), undefined);
  assert.equal(beforeHandOver(told), undefined);
  assert.equal(beforeHandOver({ ...chosen, challenges: [challenge('a.example', true)] }), undefined);
  assert.equal(beforeHandOver({ ...chosen, takenBack: true }), undefined);
});

for (const [what, before, after] of [
  ['an order that was made', newOrderState(), made],
  ["a refusal of 'replaces'", newOrderState(), { ...newOrderState(), replaced: true }],
  ['challenges that are to be presented', made, chosen],
  [
    'another challenge beside those',
    chosen,
    { ...chosen, challenges: [...chosen.challenges, challenge('b')] },
  ],
  ['since when they are presented', chosen, { ...chosen, presentedAt: 3 }],
  ['that they are presented again', { ...chosen, takenBack: true }, chosen],
] as [string, OrderState, OrderState][])
  test(`mustOutlive() has ${what} saved`, () => assert.equal(mustOutlive(before, after), true));

for (const [what, before, after] of [
  ['that the CA was told of the challenges', chosen, told],
  ['that it was told of what took time to be seen', { ...chosen, presentedAt: 3, polls: 4 }, told],
  ['that it was told of challenges taken back before', { ...chosen, takenBack: true }, told],
  ['a poll in vain', told, { ...told, polls: 2 }],
  ['another look in vain', { ...chosen, presentedAt: 3 }, { ...chosen, presentedAt: 3, polls: 1 }],
  ['that the order was finalized', told, { ...told, challenges: [], polls: 0 }],
] as [string, OrderState, OrderState][])
  test(`mustOutlive() leaves to the CA ${what}`, () => assert.equal(mustOutlive(before, after), false));

test('learnPace() learns from the first poll after a change, and of validations from those that succeed alone', () => {
  const first = (status: AcmeOrder['status'], state: OrderState) => {
    const paces = newPollPaces();
    learnPace(paces, order(status), state, 10_000);
    return [Math.sign(paces.validation.first - 250), Math.sign(paces.issuance.first - 250)];
  };
  assert.deepEqual(first('pending', told), [0, 0]);
  assert.deepEqual(first('ready', told), [-1, 0]);
  assert.deepEqual(first('processing', told), [0, 1]);
  assert.deepEqual(first('valid', told), [0, -1]);
  for (const polls of [2, 9]) {
    assert.deepEqual(first('pending', { ...told, polls }), [0, 0]);
    assert.deepEqual(first('invalid', { ...told, polls }), [0, 0]);
    assert.deepEqual(first('ready', { ...told, polls }), [1, 0]);
    assert.deepEqual(first('valid', { ...told, polls }), [0, 0]);
  }
  assert.deepEqual(first('ready', made), [0, 0]);
});

test('nextStep() polls no more often than its backoff, whatever Retry-After says, and later where it says so', () => {
  for (const [polls, retryAfter, wait] of [
    [1, 0, 250],
    [2, 0, 500],
    [4, -60_000, 2_000],
    [20, 0, 10_000],
    [1, 3_000, 3_000],
    [20, 3_000, 10_000],
    [20, 20_000, 20_000],
  ] as const) {
    const now = 1_000_000;
    const state: OrderState = { ...made, initiated: true, polls, lookAt: now + 1 };
    const seen = { saw: 'order', order: order('pending', { retryAfter: now + retryAfter }) } as const;
    assert.deepEqual(nextStep(state, seen, now).act, { do: 'wait', until: now + wait }, `${polls} polls`);
  }
});
