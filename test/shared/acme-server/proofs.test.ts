import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Authorization, Order } from '../../../shared/acme-server/orders.ts';
import {
  findChallenge,
  isOpen,
  toAnnounced,
  toProven,
  toUnproven,
  toUnseen,
} from '../../../shared/acme-server/proofs.ts';
import { orderRecord } from './order-record.ts';

const now = 1_700_000_000_000;
const problem = { type: 'urn:ietf:params:acme:error:connection', detail: 'ECONNREFUSED' };
const place = { authorization: 1, challenge: 'dns-01' } as const;
const other = { authorization: 0, challenge: 'http-01' } as const;

const pending = (): Authorization => ({
  status: 'pending',
  challenges: (['http-01', 'dns-01'] as const).map(type => ({
    type,
    token: `of-${type}`,
    status: 'pending',
  })),
});

/** Of two names that are to be proven. */
const toOrder = (): Order =>
  orderRecord({
    status: 'pending',
    identifiers: ['a.example', 'b.example'].map(value => ({ type: 'dns', value })),
    authorizations: [pending(), pending()],
  });

const statusesOf = (order: Order) => [order.status, ...order.authorizations.map(({ status }) => status)];
const challengeOf = (order: Order, at = place) => findChallenge(order, at);

suite('an order whose names the client has to prove', () => {
  test('is looked for once the client says so', () => {
    const order = toAnnounced(toOrder(), place);
    assert.deepEqual(statusesOf(order), ['pending', 'pending', 'pending']);
    assert.equal(challengeOf(order)?.status, 'processing');
    assert.equal(findChallenge(order, { ...place, challenge: 'http-01' })?.status, 'pending');
    assert.equal(findChallenge(order, other)?.status, 'pending');
    assert.ok(isOpen(order, place));
  });

  test('is ready with the last name that is proven', () => {
    const first = toProven(toOrder(), place, now);
    assert.deepEqual(statusesOf(first), ['pending', 'pending', 'valid']);
    assert.deepEqual(challengeOf(first), {
      type: 'dns-01',
      token: 'of-dns-01',
      status: 'valid',
      validated: now,
    });
    assert.equal(first.authorizations[1]?.proof, 'dns-01');
    assert.ok(!isOpen(first, place) && isOpen(first, other));
    const all = toProven(first, other, now);
    assert.deepEqual(statusesOf(all), ['ready', 'valid', 'valid']);
    assert.ok(!isOpen(all, other));
  });

  test('says of each attempt why nothing was seen, and forgets it once it is', () => {
    const [again, last] = [
      { ...problem, detail: 'status 404' },
      { ...problem, type: 'urn:ietf:params:acme:error:dns' },
    ];
    const once = toUnseen(toOrder(), place, problem);
    assert.deepEqual([challengeOf(once)?.status, challengeOf(once)?.error], ['processing', problem]);
    assert.deepEqual(challengeOf(toUnseen(once, place, problem))?.error, problem, 'the same is said once');
    const twice = toUnseen(once, place, again);
    assert.deepEqual(challengeOf(twice)?.error, { ...again, subproblems: [problem, again] });
    const thrice = toUnseen(toUnseen(twice, place, last), place, problem);
    assert.deepEqual(challengeOf(thrice)?.error, { ...problem, subproblems: [again, last, problem] });
    assert.deepEqual(statusesOf(thrice), ['pending', 'pending', 'pending']);
    assert.equal(challengeOf(toProven(thrice, place, now))?.error, undefined);
  });

  test('is over with the first name that is not proven', () => {
    const order = toUnproven(toOrder(), place, problem);
    assert.deepEqual(statusesOf(order), ['invalid', 'pending', 'invalid']);
    assert.deepEqual([challengeOf(order)?.status, challengeOf(order)?.error], ['invalid', problem]);
    const identifier = { type: 'dns', value: 'b.example' };
    assert.deepEqual(order.error, { ...problem, subproblems: [{ ...problem, identifier }] });
    assert.ok(!isOpen(order, other) && !isOpen(order, place), 'nothing is looked for any more');
  });

  test('has nothing to prove at a place that is not there, or once its authorization is deactivated', () => {
    const order = toOrder();
    assert.ok(!isOpen(order, { authorization: 2, challenge: 'dns-01' }));
    assert.ok(!isOpen(order, { ...place, challenge: 'tls-alpn-01' }));
    const [first, second] = order.authorizations as [Authorization, Authorization];
    const without = { ...order, authorizations: [first, { ...second, status: 'deactivated' as const }] };
    assert.ok(!isOpen(without, place) && isOpen(without, other));
  });
});
