import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { driveThrough, partsFor, taskFor } from './drive.ts';
import { scriptCa } from './scripted-ca.ts';

const acme = (kind: string) => `urn:ietf:params:acme:error:${kind}`;

for (const [kind, code] of [
  ['connection', 'unexpected'],
  ['dns', 'unexpected'],
  ['tls', 'unexpected'],
  ['incorrectResponse', 'unexpected'],
  ['unauthorized', 'misconfigured'],
] as const)
  test(`driveOrder() takes ${kind} as the answer to a challenge for the end of its validation`, async () => {
    const ca = scriptCa();
    const problem = { type: acme(kind), detail: 'the file is not there' };
    ca.failNext.set(
      'initiate',
      new IssuanceError(code, 'the CA refused: the file is not there', { problem }),
    );
    await assert.rejects(driveThrough(partsFor(ca), taskFor('a.example')), {
      code: 'challengeFailed',
      message: 'a.example: the file is not there',
      problem: { ...problem, identifier: { type: 'dns', value: 'a.example' } },
    });
    assert.equal(ca.presented.size, 0);
  });

test('driveOrder() passes on what says nothing of the validation', async () => {
  for (const [kind, code] of [
    ['rateLimited', 'rateLimited'],
    ['serverInternal', 'unavailable'],
    ['accountDoesNotExist', 'gone'],
  ] as const) {
    const ca = scriptCa();
    ca.failNext.set('initiate', new IssuanceError(code, 'x', { problem: { type: acme(kind) } }));
    await assert.rejects(driveThrough(partsFor(ca), taskFor('a.example')), { code });
  }
});
