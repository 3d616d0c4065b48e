import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseProblem, parseRetryAfter } from '../../../shared/acme/objects.ts';
import { problemKind, saysAccountIsGone, toCsrFault, toIssuanceError } from '../../../shared/acme/problem.ts';

const acme = (kind: string) => `urn:ietf:params:acme:error:${kind}`;

test('parseProblem() reads a problem with its identifier and subproblems', () => {
  const dns = { type: 'dns', value: 'a.example' };
  const data = {
    type: acme('malformed'),
    detail: 'Some of the identifiers were rejected',
    status: 400,
    identifier: dns,
    subproblems: [{ type: acme('caa'), detail: 'CAA forbids', identifier: dns }],
    instance: 'dropped',
  };
  const { instance: _, ...expected } = data;
  assert.deepEqual(parseProblem(data), expected);
});

for (const data of [undefined, null, 'text', 7, [], {}, { type: 5 }, { detail: null }, { status: 403 }])
  test(`parseProblem() takes ${JSON.stringify(data)} for no problem`, () => {
    assert.equal(parseProblem(data), undefined);
  });

test('parseProblem() drops what has the wrong type', () => {
  const wrong = {
    type: 1,
    detail: 'told',
    status: '400',
    identifier: { type: 'dns', value: 3 },
    subproblems: 'many',
  };
  assert.deepEqual(parseProblem(wrong), { type: 'about:blank', detail: 'told' });
  const mixed = { type: acme('dns'), subproblems: [null, 5, 'text', {}, { type: acme('tls') }] };
  assert.deepEqual(parseProblem(mixed)?.subproblems, [{ type: acme('tls') }]);
});

test('parseProblem() makes one line of a detail, without control characters, and cuts it', () => {
  const { detail = '' } =
    parseProblem({ detail: `a\r\nX-Injected: b\u0000\u001b[31m\u2028${'c'.repeat(5000)}` }) ?? {};
  assert.match(detail, /^a X-Injected: b \[31m c+$/);
  assert.equal(detail.length, 500);
});

test('parseProblem() takes a hundred subproblems and none below them, however deep a CA nests them', () => {
  const many = {
    type: acme('compound'),
    subproblems: Array.from({ length: 5000 }, () => ({ type: acme('dns') })),
  };
  assert.equal(parseProblem(many)?.subproblems?.length, 100);
  const depth = 50_000;
  const deep = JSON.parse(`${'{"type":"x","subproblems":['.repeat(depth)}{"type":"x"}${']}'.repeat(depth)}`);
  assert.deepEqual(parseProblem(deep), { type: 'x', subproblems: [{ type: 'x' }] });
});

test("problemKind() is the part after ACME's namespace", () => {
  assert.equal(problemKind({ type: acme('rateLimited') }), 'rateLimited');
  assert.equal(problemKind({ type: 'urn:acme:error:rateLimited' }), 'rateLimited', 'as before RFC 8555');
  assert.equal(problemKind({ type: 'about:blank' }), '');
  assert.equal(problemKind(undefined), '');
});

/** The code for an answer of this status with a problem of this kind. */
const codeOf = (status: number, kind?: string) =>
  toIssuanceError({ status, data: kind === undefined ? 'text' : { type: acme(kind) } }, 'the CA refused')
    .code;

for (const [status, kind, code] of [
  [429, 'rateLimited', 'rateLimited'],
  [429, undefined, 'rateLimited'],
  [503, 'rateLimited', 'rateLimited'],
  [403, 'rejectedIdentifier', 'denied'],
  [400, 'unsupportedIdentifier', 'denied'],
  [403, 'caa', 'denied'],
  [400, 'badCSR', 'badCsr'],
  [400, 'badPublicKey', 'badCsr'],
  [400, 'accountDoesNotExist', 'gone'],
  [404, 'malformed', 'gone'],
  [404, undefined, 'gone'],
  [500, 'serverInternal', 'unavailable'],
  [503, undefined, 'unavailable'],
  [400, 'badNonce', 'unavailable'],
  [403, 'externalAccountRequired', 'misconfigured'],
  [403, 'userActionRequired', 'misconfigured'],
  [401, 'unauthorized', 'misconfigured'],
  [400, 'invalidContact', 'misconfigured'],
  [400, 'invalidProfile', 'misconfigured'],
  [400, 'malformed', 'unexpected'],
  [403, 'orderNotReady', 'unexpected'],
  [301, undefined, 'unexpected'],
] as const)
  test(`toIssuanceError() makes ${code} of ${status} ${kind ?? 'without a problem'}`, () => {
    assert.equal(codeOf(status, kind), code);
  });

test('toIssuanceError() looks into the subproblems for the reaction', () => {
  const compound = (...kinds: string[]) => ({
    status: 400,
    data: { type: acme('compound'), subproblems: kinds.map(kind => ({ type: acme(kind) })) },
  });
  assert.equal(toIssuanceError(compound('dns', 'rejectedIdentifier'), 'x').code, 'denied');
  assert.equal(toIssuanceError(compound('rejectedIdentifier', 'rateLimited'), 'x').code, 'rateLimited');
});

test('toIssuanceError() says what the CA said, and keeps the problem and the time', () => {
  const data = { type: acme('rateLimited'), detail: 'too many certificates' };
  const error = toIssuanceError({ status: 429, data, retryAfter: 99 }, 'the CA refused');
  assert.equal(error.message, 'the CA refused: too many certificates');
  assert.deepEqual([error.problem, error.retryAfter], [data, 99]);
  const bare = (status: number, data: unknown) => toIssuanceError({ status, data }, 'the CA refused').message;
  assert.equal(bare(400, { type: acme('malformed') }), 'the CA refused: malformed');
  assert.equal(
    bare(502, '<html>Bad\nGateway</html>'),
    'the CA refused: status 502, no content type, "Bad Gateway"',
  );
});

const now = Date.UTC(2026, 10, 22, 12);
const twoWeeks = 14 * 24 * 3_600_000;

test('parseRetryAfter() reads seconds', () => {
  assert.equal(parseRetryAfter('0', now), now);
  assert.equal(parseRetryAfter(' 120 ', now), now + 120_000);
});

test('parseRetryAfter() reads the three forms of an HTTP date', () => {
  const in90Seconds = now + 90_000;
  assert.equal(parseRetryAfter('Sun, 22 Nov 2026 12:01:30 GMT', now), in90Seconds);
  assert.equal(parseRetryAfter('Sunday, 22-Nov-26 12:01:30 GMT', now), in90Seconds);
  assert.equal(parseRetryAfter('Sun Nov 22 12:01:30 2026', now), in90Seconds);
});

test('parseRetryAfter() never answers a time that is past or more than two weeks away', () => {
  assert.equal(parseRetryAfter('Sun, 06 Nov 1994 08:49:37 GMT', now), now);
  assert.equal(parseRetryAfter('Sun, 06 Nov 2094 08:49:37 GMT', now), now + twoWeeks);
  assert.equal(parseRetryAfter('99999999', now), now + twoWeeks);
  assert.equal(parseRetryAfter('9'.repeat(400), now), now + twoWeeks);
});

for (const text of [
  undefined,
  '',
  '  ',
  'soon',
  'soon 5',
  '-5',
  '1.5',
  '+3',
  '0x10',
  '5 minutes',
  '120, 5',
  'NaN',
])
  test(`parseRetryAfter() takes ${JSON.stringify(text)} for none`, () => {
    assert.equal(parseRetryAfter(text, now), undefined);
  });

for (const [status, type, detail] of [
  [400, 'accountDoesNotExist', 'no such account'],
  [400, 'malformed', 'kid does not have required prefix; expected https://ca.example/acme/ov/account/'],
  [400, 'malformed', 'KeyID header contained an invalid account URL: "https://ca.example/acme/reg/1"'],
  [401, 'unauthorized', 'kid does not match stored account location; expected foobar'],
] as const)
  test(`an account URL that is refused as ${type} (${detail.slice(0, 20)}…) is one to be looked up by its key`, () => {
    const error = toIssuanceError({ status, data: { type: acme(type), detail } }, 'no');
    assert.deepEqual([error.code, saysAccountIsGone(error)], ['gone', true]);
    assert.equal(toCsrFault(error, ['malformed', 'unauthorized']), error, 'the CSR is not to blame');
  });

test('what is malformed or unauthorized otherwise says nothing of the account', () => {
  for (const type of ['malformed', 'unauthorized'])
    for (const name of [
      'kidney.example',
      'kid.example',
      'www.kid.example',
      'kid-1.example',
      'my-kid.example',
    ]) {
      const detail = `no certificate for "${name}" here`;
      const error = toIssuanceError({ status: 400, data: { type: acme(type), detail } }, 'no');
      assert.equal(saysAccountIsGone(error), false, name);
    }
});
