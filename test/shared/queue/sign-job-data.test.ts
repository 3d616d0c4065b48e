import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromSignFailure, IssuanceError, toSignFailure } from '../../../shared/base/errors.ts';
import { deduplicationId, type SignJobData } from '../../../shared/queue/sign-records.ts';

const data: SignJobData = {
  csr: 'a CSR',
  identifiers: [{ type: 'dns', value: 'a.example' }],
  accounts: [{ account: 'account' }],
  solvers: ['http'],
  storage: 'file',
  block: 'mail',
  requestId: 'request-1',
};

/** As it arrives on the other side of Redis. */
const sent = <T>(value: T): T => JSON.parse(JSON.stringify(value));

test('a failure arrives on the other side of the queue as the error that it was', () => {
  const problem = {
    type: 'urn:ietf:params:acme:error:compound',
    subproblems: [
      { type: 'urn:ietf:params:acme:error:dns', identifier: { type: 'dns', value: 'a.example' } },
    ],
  };
  const error = new IssuanceError('challengeFailed', 'a.example: NXDOMAIN', { retryAfter: 1234, problem });
  const arrived = fromSignFailure(sent(toSignFailure(error)));
  assert.ok(arrived instanceof IssuanceError);
  const { code, message, retryAfter } = arrived;
  assert.deepEqual([code, message, retryAfter], ['challengeFailed', 'a.example: NXDOMAIN', 1234]);
  assert.deepEqual(arrived.problem, problem);
});

test('a failure without time and problem has none on the other side', () => {
  const arrived = fromSignFailure(sent(toSignFailure(new IssuanceError('denied', 'no'))));
  assert.ok(arrived instanceof IssuanceError);
  assert.deepEqual([arrived.retryAfter, arrived.problem, arrived.cause], [undefined, undefined, undefined]);
});

test('a bug stays a bug, and its details stay where they are', () => {
  for (const bug of [new TypeError('x is not a function: secret'), 'secret', undefined]) {
    const failure = sent(toSignFailure(bug));
    assert.deepEqual(failure, { code: 'internal', detail: 'internal error' });
    const arrived = fromSignFailure(failure);
    assert.equal(arrived instanceof IssuanceError, false);
    assert.equal(arrived.message, 'internal error');
  }
});

test("a failure's cause does not cross the queue", () => {
  const error = new IssuanceError('unavailable', 'away', { cause: new Error('10.0.0.7 refused') });
  assert.equal(JSON.stringify(toSignFailure(error)).includes('10.0.0.7'), false);
});

test('deduplicationId() is equal for identical posts, whichever request they came with', () => {
  const id = deduplicationId(data);
  assert.equal(deduplicationId({ ...data, requestId: 'request-2' }), id);
  assert.equal(deduplicationId({ ...data, by: 'hmac key 2', client: '192.0.2.7' }), id);
  assert.match(id, /^[0-9a-f]{64}$/); // BullMQ's ids may hold no colon
});

test('deduplicationId() is the same for all renewals of a CSR, and another one for posts, which may not wait for days', () => {
  const renewal = deduplicationId({ ...data, due: 1 });
  assert.equal(deduplicationId({ ...data, due: 2, replaces: { id: 'aki.serial' } }), renewal);
  assert.notEqual(renewal, deduplicationId({ ...data, patience: 60_000 }));
});

test('deduplicationId() is shared by the posts with one one-time token, and with no others', () => {
  const own = deduplicationId({ ...data, spends: 'one' });
  assert.equal(deduplicationId({ ...data, spends: 'one', requestId: 'request-2' }), own);
  assert.notEqual(deduplicationId({ ...data, spends: 'two' }), own);
  assert.notEqual(deduplicationId(data), own);
});

test('deduplicationId() differs with the CSR and with all that an auth block decides', () => {
  const others: Partial<SignJobData>[] = [
    ...[
      { csr: 'another' },
      { accounts: [{ account: 'b' }] },
      { accounts: [{ account: 'account' }, { account: 'b' }] },
      { accounts: [{ account: 'b' }, { account: 'account' }] },
      { accounts: [{ account: 'account', certificateProfile: 'short' }] },
      { accounts: [{ account: 'account', preferredChain: 'Root' }] },
      { solvers: ['dns'] },
      { solvers: ['http', 'dns'] },
      { solvers: [] },
    ],
    ...[{ storage: 'redis' }, { block: 'ext' }],
  ];
  const ids = [data, ...others.map(other => ({ ...data, ...other }))].map(deduplicationId);
  assert.equal(new Set(ids).size, ids.length);
});

test("deduplicationId() is shared by the finalize requests of one ACME client's order, and by no others", () => {
  const own = deduplicationId({ ...data, order: 'one' });
  assert.equal(deduplicationId({ ...data, order: 'one', requestId: 'request-2' }), own);
  assert.notEqual(deduplicationId({ ...data, order: 'two' }), own);
  assert.notEqual(deduplicationId(data), own);
});
