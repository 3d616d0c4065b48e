import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as library from '../../../shared/library/index.ts';

const folders = ['acme', 'library', 'pki'].map(folder =>
  join(import.meta.dirname, '../../../shared', folder),
);
const sources = folders
  .flatMap(folder => readdirSync(folder).map(file => join(folder, file)))
  .map(file => readFileSync(file, 'utf8'))
  .join('\n');

const functions = Object.entries(library).filter(
  ([name, value]) => typeof value === 'function' && /^[a-z]/.test(name),
);

for (const [name] of functions)
  test(`${name}() of quarry/acme names its RFC in its documentation`, () => {
    const documented = new RegExp(
      `/\\*\\*((?:(?!\\*/)[^])*)\\*/\\nexport (?:async )?function ${name}\\(`,
    ).exec(sources);
    assert.match(documented?.[1] ?? '', /RFC \d{4}|section \d/);
  });

test('quarry/acme has the calls of account, order, challenge and renewal information, and those that do it all', () => {
  assert.deepEqual(functions.map(([name]) => name).sort(), [
    'createAccount',
    'deactivateAccount',
    'fetchRenewalInfo',
    'fetchResource',
    'findAccount',
    'generateKeyPem',
    'listOrders',
    'makeCsr',
    'obtain',
    'openAccount',
    'openAcmeClient',
    'openCaConnection',
    'readPrivateKey',
    'readTermsOfService',
    'renewalInfoId',
    'revokeCertificate',
    'rolloverKey',
    'updateContact',
  ]);
});
