import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { deactivateAccount, rolloverKey, updateContact } from '../../shared/acme/account.ts';
import { openAcmeClient } from '../../shared/acme/client.ts';
import { openCaConnection } from '../../shared/acme/connection.ts';
import { systemClock } from '../../shared/base/basics.ts';
import { openAccountDirectory } from '../../shared/ca/account-directory.ts';
import { generateKeyPem } from '../../shared/pki/private-key.ts';
import { freePort } from '../support/free-port.ts';
import { startPebble } from '../support/pebble.ts';
import { quietLog } from '../support/quiet-log.ts';
import { tempDir } from '../support/temp-dir.ts';

const stack = new AsyncDisposableStack();
after(() => stack.disposeAsync());
const pebble = stack.use(await startPebble({ httpPort: await freePort() }));
const connection = stack.use(
  openCaConnection({
    directoryUrl: pebble.directoryUrl,
    userAgent: 'quarry/test',
    clock: systemClock,
    ca: [await readFile(pebble.caFile, 'utf8')],
  }),
);
const never = new AbortController().signal;
const identifiers = [{ type: 'dns' as const, value: 'www.example.org' }];

async function newAccount() {
  const { path } = stack.use(await tempDir());
  const dir = join(path, 'account');
  const options = { dir, contact: ['mailto:first@example.org'], termsOfService: true };
  return { options, account: await openAccountDirectory(connection, options, quietLog, never) };
}

test('updateContact() replaces the contacts at the CA', async () => {
  const { account } = await newAccount();
  const changed = await updateContact(connection, account, ['mailto:second@example.org'], never);
  assert.deepEqual((changed as { contact: string[] }).contact, ['mailto:second@example.org']);
});

test('rolloverKey() gives the account a new key, and the old one is worth nothing', async () => {
  const { account } = await newAccount();
  const renewed = await rolloverKey(connection, account, await generateKeyPem('P-384'), never);
  assert.equal(renewed.url, account.url);
  assert.equal((await openAcmeClient(connection, renewed, never).newOrder(identifiers)).status, 'pending');
  await assert.rejects(openAcmeClient(connection, account, never).newOrder(identifiers), {
    name: 'IssuanceError',
  });
});

test('deactivateAccount() ends the account for good', async () => {
  const { account } = await newAccount();
  const ended = await deactivateAccount(connection, account, never);
  assert.equal((ended as { status: string }).status, 'deactivated');
  await assert.rejects(openAcmeClient(connection, account, never).newOrder(identifiers), {
    code: 'misconfigured',
  });
});

test('openAccountDirectory() with an account that the CA has lost makes it anew with the same key', async () => {
  const { options, account } = await newAccount();
  await pebble.restart();
  await assert.rejects(openAcmeClient(connection, account, never).newOrder(identifiers), { code: 'gone' });
  const again = await openAccountDirectory(connection, options, quietLog, never, account.url);
  assert.equal(again.keyPem, account.keyPem);
  assert.notEqual(again.url, account.url);
  const { uri } = JSON.parse(await readFile(join(options.dir, 'registration.json'), 'utf8')) as {
    uri: string;
  };
  assert.equal(uri, again.url);
  assert.equal((await openAcmeClient(connection, again, never).newOrder(identifiers)).status, 'pending');
});
