import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeError, IssuanceError } from '../../../shared/base/errors.ts';

test('describeError() puts an error and its causes into one line', () => {
  const inner = new Error('connect\n  ECONNREFUSED');
  const error = new IssuanceError('unavailable', 'the CA cannot be reached', { cause: inner });
  assert.equal(describeError(error), 'the CA cannot be reached: connect ECONNREFUSED');
});

test('describeError() does not say a cause twice', () => {
  const inner = new Error('disk full');
  assert.equal(
    describeError(new Error('cannot write: disk full', { cause: inner })),
    'cannot write: disk full',
  );
});

test('describeError() finds words for errors without a message and for what is no error', () => {
  const refused = Object.assign(new Error(''), { code: 'ECONNREFUSED' });
  assert.equal(describeError(refused), 'ECONNREFUSED');
  assert.equal(describeError(new AggregateError([refused])), 'AggregateError: ECONNREFUSED');
  assert.equal(describeError(new TypeError('')), 'TypeError');
  assert.equal(describeError('just a text'), 'just a text');
  assert.equal(describeError(undefined), 'undefined');
});

test('an IssuanceError keeps its code, its time and its problem', () => {
  const problem = { type: 'urn:ietf:params:acme:error:rateLimited' };
  const error = new IssuanceError('rateLimited', 'too many', { retryAfter: 5, problem });
  assert.deepEqual([error.name, error.code, error.message], ['IssuanceError', 'rateLimited', 'too many']);
  assert.deepEqual([error.retryAfter, error.problem, 'cause' in error], [5, problem, false]);
});
