import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AcmeOrder } from '../../../shared/acme/objects.ts';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { driveOrder } from '../../../shared/order/drive-order.ts';
import { retryTime, SHORT_PATIENCE } from '../../../shared/order/fail-over.ts';
import { failureOf } from '../../../shared/order/failed-step.ts';
import { lookAtAuthorizations } from '../../../shared/order/look.ts';
import { newCheckpoint, newOrderState, nextStep } from '../../../shared/order/next-step.ts';
import type { Checkpoint, OrderState, Seen } from '../../../shared/order/order-state.ts';
import { acmeError } from '../acme/fake-ca.ts';
import { driveThrough, partsFor, taskFor } from './drive.ts';
import { type ScriptedCa, scriptCa } from './scripted-ca.ts';

// Whatever state an order, an authorization or a challenge is found in, at whatever step: there is a next
// step, or an end that is no bug of Quarry's.

const task = taskFor('a.example');
const error = { type: acmeError('dns'), detail: 'NXDOMAIN' };

const orderStates = ['pending', 'ready', 'processing', 'valid', 'invalid'] as const;
const authorizationStates = [
  'pending',
  'valid',
  'invalid',
  'deactivated',
  'expired',
  'revoked',
  'processing',
  'new',
];
const challengeStates = ['pending', 'processing', 'valid', 'invalid', 'new'];

/** An order of one name, all in these states, that never moves. */
async function frozenCa(
  order: Partial<AcmeOrder>,
  authorization: string,
  challenge: string,
  hasFailed: boolean,
) {
  const ca = scriptCa();
  const { newOrder } = ca;
  const { url } = await newOrder(task.identifiers);
  const freeze = () => {
    Object.assign(ca.order, order);
    for (const one of ca.authorizations) {
      one.status = authorization;
      for (const each of one.challenges) Object.assign(each, { status: challenge }, hasFailed && { error });
    }
    return { ...ca.order };
  };
  freeze();
  ca.moving = false;
  ca.newOrder = async identifiers => {
    await newOrder(identifiers);
    return freeze();
  };
  ca.initiateChallenge = async () => {};
  ca.finalize = async () => ({ ...ca.order });
  return { ca, url };
}

const challengesOf = (ca: ScriptedCa, told: boolean) =>
  ca.authorizations.flatMap(({ challenges }) =>
    challenges.slice(1, 2).map(({ url, token }) => ({
      ...{ url, token, told, solver: 'http' },
      identifier: { type: 'dns' as const, value: 'a.example' },
    })),
  );

/** All that a checkpoint may hold of an order. */
async function everyState(): Promise<OrderState[]> {
  const { ca, url } = await frozenCa({}, 'pending', 'pending', false);
  const made = { ...newOrderState(), url };
  const chosen = [false, true].map(told => ({ ...made, challenges: challengesOf(ca, told) }));
  const told = [made, ...chosen].map(state => ({ ...state, initiated: true, initiatedAt: 0, polls: 2 }));
  return [
    ...[newOrderState(), { ...newOrderState(), replaced: true as const }, made, ...chosen, ...told],
    ...chosen.flatMap(state => [
      { ...state, presentedAt: 0 },
      { ...state, takenBack: true as const },
    ]),
    ...told.flatMap(state => [1, 3].map(tries => ({ ...state, tries, looks: tries, lookAt: 0 }))),
    ...told.map(state => ({ ...state, challenges: [] })),
  ];
}

const everyOrder: Partial<AcmeOrder>[] = orderStates.flatMap(status =>
  ['', 'https://ca.example/finalize/1'].flatMap(finalize =>
    [undefined, 'https://ca.example/cert/1'].flatMap(certificate =>
      [undefined, 0, 5_000, 86_400_000].map(retryAfter => ({ status, finalize, certificate, retryAfter })),
    ),
  ),
);

test('there is a next step for an order in any state at any step, and all that it needs is there', async () => {
  const known = { url: 'https://ca.example/order/1', authorizations: [], finalize: '' };
  let steps = 0;
  for (const state of await everyState())
    for (const part of everyOrder)
      for (const saw of ['order', 'finalized', 'not ready', 'looked', 'told again']) {
        const order = { ...known, ...part } as AcmeOrder;
        const { act } = nextStep(state, toSeen(saw, order), 10_000);
        steps++;
        if (act.do === 'finalize') assert.ok(act.order.finalize);
        if (act.do === 'download') assert.ok(act.certificate);
        if (act.do === 'wait') assert.ok(act.until > 10_000 && Number.isFinite(act.until));
        if (act.do === 'fail') assert.equal(order.status, 'invalid');
      }
  assert.ok(steps > 5_000, `${steps}`);
});

function toSeen(saw: string, order: AcmeOrder): Seen {
  switch (saw) {
    case 'finalized':
      return { saw, order };
    case 'not ready':
      return { saw: 'finalized', order, notReady: true };
    case 'looked':
    case 'told again':
      return { saw: 'looked', order, toldAgain: saw === 'told again' };
    default:
      return { saw: 'order', order };
  }
}

/** What is done with the authorizations of an order, in whatever states they are. */
const acts = {
  choose: (ca: ScriptedCa, { order, lostOrders }: Checkpoint) => {
    const pending = { ...newOrderState(), url: ca.order.url, challenges: order.challenges };
    const parts = { ...partsFor(ca), longestWait: 0 };
    return driveOrder<unknown>(parts, task, { ...newCheckpoint(pending), lostOrders });
  },
  look: (ca: ScriptedCa, checkpoint: Checkpoint) =>
    lookAtAuthorizations(partsFor(ca), task, checkpoint, ca.order),
  fail: (ca: ScriptedCa, { order }: Checkpoint) => failureOf(partsFor(ca), task, order, ca.order),
};

/** Codes that are the CA's or the client's matter: none of them is answered with a 500. */
const ends = ['gone', 'challengeFailed', 'denied', 'badCsr', 'rateLimited', 'unavailable'];

const assertEnd = (failure: unknown, where: string) =>
  assert.ok(failure instanceof IssuanceError && ends.includes(failure.code), `${where}: ${failure}`);

test('challenges are chosen, looked at and blamed whatever states authorizations and challenges are in', async () => {
  for (const authorization of authorizationStates)
    for (const challenge of challengeStates)
      for (const hasFailed of [false, true]) {
        const { ca } = await frozenCa({}, authorization, challenge, hasFailed);
        for (const state of await everyState())
          for (const lostOrders of [0, 1])
            for (const act of ['choose', 'look', 'fail'] as const) {
              const where = `${act} with ${authorization}, ${challenge}, ${JSON.stringify(state)}`;
              const checkpoint = { ...newCheckpoint(state), lostOrders };
              const end = await acts[act](ca, checkpoint).catch((failure: unknown) => failure);
              if (!(end instanceof Error)) assert.notEqual(act, 'fail');
              else assertEnd(end, where);
            }
      }
});

test('an order that stays for ever in whatever states comes to an end, which is no bug', async () => {
  const ended = new Set<string>();
  // Nobody looks at the authorizations of other orders.
  for (const status of orderStates)
    for (const authorization of ['pending', 'invalid'].includes(status) ? authorizationStates : ['valid'])
      for (const challenge of authorization === 'pending' ? challengeStates : ['pending', 'invalid'])
        for (const hasFailed of [false, true]) {
          const certificate = status === 'valid' && hasFailed ? 'https://ca.example/cert/1' : undefined;
          const { ca } = await frozenCa({ status, certificate }, authorization, challenge, hasFailed);
          const parts = partsFor(ca);
          parts.judge = async (failure, checkpoint) => {
            const retry = retryTime(failure, checkpoint, parts.clock.now(), SHORT_PATIENCE);
            return retry ? { do: 'retry', ...retry } : { do: 'fail', error: failure };
          };
          const end = await driveThrough(parts, task).catch(failure => {
            assertEnd(failure, `${status}, ${authorization}, ${challenge}`);
            return failure as IssuanceError;
          });
          ended.add(end instanceof IssuanceError ? end.code : 'issued');
          assert.equal(ca.presented.size, 0);
        }
  assert.deepEqual([...ended].sort(), ['challengeFailed', 'denied', 'gone', 'issued', 'unavailable']);
});
