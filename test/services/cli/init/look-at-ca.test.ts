import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openLookAtCa } from '../../../../services/cli/init/look-at-ca.ts';
import { listen } from '../../../support/listen.ts';

const lookAtCa = openLookAtCa(undefined);

test('a CA is what has a directory with the URLs that orders need; all else is told as what it is', async () => {
  let answer: object = {};
  await using server = await listen((_, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
  });
  const url = `${server.url}/dir`;
  const none = { fault: `${url} is no ACME directory` };
  assert.deepEqual(await lookAtCa(url, undefined), none);
  answer = { newNonce: url, newAccount: url };
  assert.deepEqual(await lookAtCa(url, undefined), none);
  answer = { newNonce: url, newAccount: url, newOrder: url, meta: { termsOfService: `${url}/terms` } };
  const found = await lookAtCa(url, undefined);
  assert.ok(!('fault' in found));
  assert.equal(found.termsOfService, `${url}/terms`);
});
