import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  AcmeError,
  type AcmeErrorKind,
  toAcmeError,
  toProblem,
} from '../../../shared/acme-server/problem.ts';
import { IssuanceError, type IssuanceErrorCode } from '../../../shared/base/errors.ts';

const ofCa = (kind: string) => ({
  type: `urn:ietf:params:acme:error:${kind}`,
  detail: 'https://ca.example.org',
});

suite('a problem of the ACME server', () => {
  test('has a registered type, a status and what is wrong with each identifier', () => {
    const identifier = { type: 'dns', value: 'www.example.org' };
    const subproblems = [{ kind: 'caa', detail: 'no CA may', identifier }] as const;
    assert.deepEqual(
      toProblem(new AcmeError('rejectedIdentifier', 'not yours', { subproblems }), 'urn:uuid:1'),
      {
        ...{ type: 'urn:ietf:params:acme:error:rejectedIdentifier', status: 403, detail: 'not yours' },
        instance: 'urn:uuid:1',
        subproblems: [{ type: 'urn:ietf:params:acme:error:caa', detail: 'no CA may', identifier }],
      },
    );
  });

  test('is one line without control characters, whatever a client has said', () => {
    const said = 'a\r\nb\u2028c\u001b[31m\u202ed\u0085';
    const error = new AcmeError('malformed', said, { subproblems: [{ kind: 'malformed', detail: said }] });
    const { detail, subproblems } = toProblem(error);
    assert.equal(detail, 'a??b?c?[31m?d?');
    assert.equal(subproblems?.[0]?.detail, detail);
  });

  test('is made of each code of IssuanceError', () => {
    const table: [IssuanceErrorCode, string | undefined, AcmeErrorKind, number][] = [
      ['badCsr', undefined, 'badCSR', 400],
      ['denied', undefined, 'unauthorized', 403],
      ['denied', 'rejectedIdentifier', 'rejectedIdentifier', 403],
      ['denied', 'caa', 'caa', 403],
      ['denied', 'somethingNew', 'unauthorized', 403],
      ['challengeFailed', undefined, 'incorrectResponse', 403],
      ['challengeFailed', 'dns', 'dns', 400],
      ['challengeFailed', 'unauthorized', 'unauthorized', 403],
      ['rateLimited', 'rateLimited', 'rateLimited', 429],
      ['unavailable', undefined, 'serverInternal', 503],
      ['gone', undefined, 'serverInternal', 503],
      ['unknown', undefined, 'malformed', 404],
      ['misconfigured', 'externalAccountRequired', 'serverInternal', 500],
      ['unexpected', 'malformed', 'serverInternal', 500],
    ];
    for (const [code, caKind, kind, status] of table) {
      const problem = caKind === undefined ? undefined : ofCa(caKind);
      const error = toAcmeError(new IssuanceError(code, 'our words', { retryAfter: 5, problem }));
      assert.deepEqual([error.kind, error.status, error.retryAfter], [kind, status, 5], `${code} ${caKind}`);
      assert.doesNotMatch(JSON.stringify(toProblem(error)), /ca\.example\.org/);
    }
  });

  test('tells nothing of a bug', () => {
    const { kind, status, message } = toAcmeError(new TypeError('a secret is no function'));
    assert.deepEqual([kind, status, message], ['serverInternal', 500, 'internal error']);
  });
});
