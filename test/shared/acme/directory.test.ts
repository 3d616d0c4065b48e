import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readDirectory } from '../../../shared/acme/connection.ts';
import { type Directory, parseDirectory } from '../../../shared/acme/directory.ts';
import { startFakeCa } from './fake-ca.ts';
import { connect, never, openKeySigner } from './open-connection.ts';

const parse = (data: unknown): Directory =>
  parseDirectory({ url: 'https://ca.example/acme/directory', status: 200, headers: {}, data }, 0);

const nothing = { urls: {}, externalAccountRequired: false, caaIdentities: [] };

test('parseDirectory() reads what the CA offers and asks for', () => {
  const urls = {
    newNonce: 'https://ca.example/nonce',
    newAccount: 'https://ca.example/account',
    newOrder: 'https://ca.example/order',
    revokeCert: 'https://ca.example/revoke',
    keyChange: 'https://ca.example/key',
    renewalInfo: 'https://ca.example/renewal',
  };
  const meta = {
    termsOfService: 'https://ca.example/terms',
    externalAccountRequired: true,
    caaIdentities: ['ca.example', 'ca.example.org'],
  };
  const profiles = { classic: 'of old', shortlived: 'for a week' };
  assert.deepEqual(
    parse({
      ...urls,
      newAuthz: 'https://ca.example/authz',
      random: 'text',
      meta: { ...meta, profiles },
    }),
    { urls, ...meta, profiles: ['classic', 'shortlived'] },
  );
});

for (const [what, answer] of [
  ['is empty', {}],
  ['has a list in place of resources', []],
  [
    'names resources by what is no text',
    { newNonce: 7, newOrder: null, renewalInfo: ['https://ca.example'] },
  ],
  ['has a meta that is no object', { meta: 'text' }],
  ['has a meta that is null', { meta: null }],
  ['has terms that are no text', { meta: { termsOfService: { url: 'https://ca.example/terms' } } }],
  ['wants a binding, but not by true', { meta: { externalAccountRequired: 'yes' } }],
  ['has CAA names that are no list', { meta: { caaIdentities: 'ca.example' } }],
  ['has CAA names that are no texts', { meta: { caaIdentities: [7, null, ['ca.example']] } }],
  ['has certificate profiles that are a text', { meta: { profiles: 'shortlived' } }],
  ['has certificate profiles that are null', { meta: { profiles: null } }],
] as const)
  test(`parseDirectory() finds nothing in a directory that ${what}`, () => {
    assert.deepEqual(parse(answer), nothing);
  });

test('parseDirectory() keeps what is right beside what is wrong', () => {
  const answer = {
    newNonce: 'https://ca.example/nonce',
    newOrder: 7,
    meta: { caaIdentities: ['ca.example', 7], profiles: {} },
  };
  assert.deepEqual(parse(answer), {
    urls: { newNonce: 'https://ca.example/nonce' },
    externalAccountRequired: false,
    caaIdentities: ['ca.example'],
    profiles: [],
  });
});

test('a request to a resource that the directory does not name says so, and nothing is sent', async () => {
  await using ca = await startFakeCa();
  ca.resources = { newOrder: 7 as never };
  using connection = connect(ca.directoryUrl);
  assert.equal((await readDirectory(connection, never)).urls.newOrder, undefined);
  await assert.rejects(
    openKeySigner(connection).postTo('newOrder', () => ({})),
    {
      code: 'unexpected',
      message: "the CA's directory names no newOrder",
    },
  );
  assert.deepEqual(ca.log(), ['GET /dir']);
});

test('parseDirectory() reads relative URLs by its own, and takes what is none as it is, to be refused when it is used', () => {
  const answer = { newNonce: '/acme/nonce', newOrder: 'order', newAccount: '//other.example/account' };
  assert.deepEqual(parse({ ...answer, revokeCert: 'http://[' }).urls, {
    newNonce: 'https://ca.example/acme/nonce',
    newOrder: 'https://ca.example/acme/order',
    newAccount: 'https://other.example/account',
    revokeCert: 'http://[',
  });
});
