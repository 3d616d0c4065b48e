import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openAcmeClient } from '../../../shared/acme/client.ts';
import { type AccountDirectory, openAccountDirectory } from '../../../shared/ca/account-directory.ts';
import { generateKeyPem } from '../../../shared/pki/private-key.ts';
import { failCalls } from '../../support/file-system.ts';
import { keptLog } from '../../support/kept-log.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { type FakeCa, problem, startFakeCa } from '../acme/fake-ca.ts';
import { connect, never } from '../acme/open-connection.ts';

const terms = 'https://ca.example/terms/2';

/**
 * An account directory and a CA with terms of service; `open` opens the account as a process of its own
 * would.
 */
async function start() {
  await using stack = new AsyncDisposableStack();
  const ca = stack.use(await startFakeCa());
  ca.meta = { termsOfService: terms };
  const dir = join(stack.use(await tempDir()).path, 'account');
  const open = async (options: Partial<AccountDirectory> = {}, log = quietLog) => {
    using connection = connect(ca.directoryUrl);
    return await openAccountDirectory(
      connection,
      { dir, contact: [], termsOfService: true, ...options },
      log,
      never,
    );
  };
  const parts = stack.move();
  return { ca, dir, open, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

const accountPosts = (ca: FakeCa) =>
  ca.requests.filter(({ path }) => path === '/new-account').map(one => one.payload);
const readJson = async (file: string) => JSON.parse(await readFile(file, 'utf8'));
const modeOf = async (file: string) => (await stat(file)).mode & 0o777;

test("openAccountDirectory() makes key and account where there are none, in macen's files, for their owner alone", async () => {
  await using ready = await start();
  const { ca, dir, open } = ready;
  const account = await open({ contact: ['mailto:a@example.org'] });
  assert.equal(account.url, `${ca.url}/account/1`);
  assert.deepEqual((await readdir(dir)).sort(), ['account.pem', 'registration.json']);
  assert.equal(account.keyPem, await readFile(join(dir, 'account.pem'), 'utf8'));
  assert.match(account.keyPem, /^-----BEGIN PRIVATE KEY-----/);
  const asked = { termsOfServiceAgreed: true, contact: ['mailto:a@example.org'] };
  assert.deepEqual(accountPosts(ca), [{ onlyReturnExisting: true }, asked]);
  const { body, uri, terms_of_service } = await readJson(join(dir, 'registration.json'));
  assert.deepEqual([uri, terms_of_service, body], [account.url, terms, { status: 'valid', ...asked }]);
  for (const file of ['account.pem', 'registration.json']) assert.equal(await modeOf(join(dir, file)), 0o600);
  assert.equal(await modeOf(dir), 0o700);
});

test('openAccountDirectory() asks the CA nothing about an account that it has already', async () => {
  await using ready = await start();
  const first = await ready.open();
  ready.ca.requests.length = 0;
  assert.deepEqual(await ready.open({ termsOfService: false }), first);
  assert.deepEqual(ready.ca.log(), ['GET /dir']);
});

test("openAccountDirectory() uses macen's RSA key and registration, once the CA has said that they belong together", async () => {
  await using ready = await start();
  const { ca, dir, open } = ready;
  await open(); // another account, so that this one's URL is not the first
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  await writeFile(join(dir, 'account.pem'), keyPem);
  await writeFile(join(dir, 'registration.json'), '{}');
  const { url } = await open();
  const registration = JSON.stringify({ body: { status: 'valid' }, uri: url, terms_of_service: terms });
  await writeFile(join(dir, 'registration.json'), registration);
  ca.requests.length = 0;

  const account = await open({ termsOfService: false });
  assert.deepEqual(account, { keyPem, url: `${ca.url}/account/2` });
  const kept = await readJson(join(dir, 'registration.json'));
  assert.deepEqual({ ...kept, quarry: undefined }, { ...JSON.parse(registration), quarry: undefined });
  assert.equal(kept.quarry.directory, ca.directoryUrl);
  assert.deepEqual(await open({ termsOfService: false }), account);
  assert.deepEqual(accountPosts(ca), [{ onlyReturnExisting: true }], 'asked once');
  ca.requests.length = 0;
  using connection = connect(ca.directoryUrl);
  ca.on('/cert', () => ({ body: 'chain' }));
  assert.equal(await openAcmeClient(connection, account, never).downloadChain(`${ca.url}/cert`), 'chain');
  assert.deepEqual(ca.log(), ['GET /dir', 'GET /nonce', 'POST /cert']);
});

for (const [what, damage] of [
  ['missing', undefined],
  ['no JSON', '{"uri": "http'],
  ['null', 'null'],
  ['without a URL', '{"body": {}, "uri": "account 1"}'],
  ["another CA's", '{"uri": "https://other-ca.example/account/9"}'],
] as const)
  test(`openAccountDirectory() looks the account up by its key where the registration is ${what}`, async () => {
    await using ready = await start();
    const { ca, dir, open } = ready;
    const first = await open();
    ca.requests.length = 0;
    const file = join(dir, 'registration.json');
    await (damage === undefined ? rm(file) : writeFile(file, damage));
    const { log, lines } = keptLog('warn');
    assert.deepEqual(await open({ termsOfService: false }, log), first);
    assert.deepEqual(accountPosts(ca), [{ onlyReturnExisting: true }]);
    assert.equal((await readJson(file)).uri, first.url);
    assert.equal(lines.length, damage === undefined || what === "another CA's" ? 0 : 1);
  });

test('openAccountDirectory() looks the account up, or makes it, where account.pem was replaced beside its registration', async () => {
  await using ready = await start();
  const { ca, dir, open } = ready;
  const first = await open();
  const file = join(dir, 'account.pem');
  await rm(join(dir, 'registration.json'));
  await writeFile(file, await generateKeyPem('P-384'));
  const second = await open();
  assert.notEqual(second.url, first.url);

  await writeFile(file, first.keyPem);
  ca.requests.length = 0;
  assert.deepEqual(await open({ termsOfService: false }), first);
  assert.deepEqual(accountPosts(ca), [{ onlyReturnExisting: true }]);
  ca.requests.length = 0;
  assert.deepEqual(await open(), first);
  assert.deepEqual(ca.log(), ['GET /dir'], 'that is remembered');
});

test('openAccountDirectory() takes another directory on the same host for another CA', async () => {
  await using ready = await start();
  const { ca, dir } = ready;
  const first = await ready.open();
  ca.on('/ov/dir', () => ({ body: { newNonce: `${ca.url}/nonce`, newAccount: `${ca.url}/ov/new-account` } }));
  ca.on('/ov/new-account', () => ({
    headers: { Location: `${ca.url}/ov/account/7` },
    body: { status: 'valid' },
  }));
  const config = { dir, contact: [], termsOfService: true };
  const openAt = async (directoryUrl: string) => {
    using connection = connect(directoryUrl);
    return await openAccountDirectory(connection, config, quietLog, never);
  };
  assert.equal((await openAt(`${ca.url}/ov/dir`)).url, `${ca.url}/ov/account/7`);
  assert.deepEqual(await openAt(ca.directoryUrl), first, 'and back');
});

test('openAccountDirectory() goes by the host for a registration that does not say whose it is, where the CA lets nobody look', async () => {
  await using ready = await start();
  const { ca, dir, open } = ready;
  const first = await open();
  const file = join(dir, 'registration.json');
  const { quarry: _, ...macens } = await readJson(file);
  await writeFile(file, JSON.stringify(macens));
  ca.on('/new-account', () => problem(403, 'externalAccountRequired', 'bind it'));
  assert.deepEqual(await open(), first);
  ca.on('/new-account', () => problem(503, 'serverInternal', 'away'));
  await writeFile(file, JSON.stringify(macens));
  await assert.rejects(open(), { code: 'unavailable' });
});

for (const accepted of [false, ['https://ca.example/terms/1']])
  test(`openAccountDirectory() makes no account while the terms are not accepted (${accepted})`, async () => {
    await using ready = await start();
    await assert.rejects(ready.open({ termsOfService: accepted }), (error: Error & { code: string }) => {
      assert.equal(error.code, 'misconfigured');
      assert.match(
        error.message,
        /^the CA's terms of service are not accepted: read https:\/\/ca\.example\/terms\/2 /,
      );
      assert.equal(error.message.includes('\n'), false);
      return true;
    });
    assert.equal(ready.ca.accounts.size, 0);
  });

test('openAccountDirectory() accepts terms by their URL, and a CA without terms without a word', async () => {
  await using ready = await start();
  await ready.open({ termsOfService: ['https://ca.example/terms/1', terms] });
  await using other = await start();
  for (const meta of [undefined, null, 'text', { termsOfService: 5 }]) {
    other.ca.meta = meta;
    await other.open({ termsOfService: false, dir: join(other.dir, `${typeof meta}-${meta === null}`) });
  }
  const made = accountPosts(other.ca).filter(payload => !payload?.onlyReturnExisting);
  assert.deepEqual(made, [{}, {}, {}, {}]);
});

test('openAccountDirectory() binds a new account to an external one', async () => {
  await using ready = await start();
  await ready.open({ eab: { kid: 'kid-1', hmacKey: Buffer.from('secret').toString('base64url') } });
  const { externalAccountBinding } = accountPosts(ready.ca)[1] as {
    externalAccountBinding: { protected: string };
  };
  const header = JSON.parse(Buffer.from(externalAccountBinding.protected, 'base64url').toString());
  assert.deepEqual(header, { alg: 'HS256', url: `${ready.ca.url}/new-account`, kid: 'kid-1' });
});

test('openAccountDirectory() uses a directory that is only read as it is, and says what cannot be kept', async t => {
  await using ready = await start();
  const { dir, open, ca } = ready;
  const { url } = await open();
  failCalls(t, 'open', 'EROFS', (_, flags) => flags === 'wx');
  const { log, lines } = keptLog();
  const asked = ca.requests.length;
  assert.equal((await open({}, log)).url, url);
  assert.deepEqual([ca.requests.slice(asked).filter(({ path }) => path === '/new-account'), lines], [[], []]);
  await rm(join(dir, 'registration.json'));
  assert.equal((await open({}, log)).url, url);
  assert.equal(ca.accounts.size, 1);
  const [warning] = lines;
  assert.deepEqual(
    [warning?.file, warning?.msg],
    [
      join(dir, 'registration.json'),
      'the registration cannot be written: the account is looked up by its key at each start',
    ],
  );
});

for (const [code, kind] of [
  ['EROFS', 'misconfigured'],
  ['EACCES', 'misconfigured'],
  ['ENOSPC', 'unavailable'],
] as const)
  test(`openAccountDirectory() names section, option and path where a key cannot be made (${code})`, async t => {
    await using ready = await start();
    failCalls(t, 'open', code, (_, flags) => flags === 'wx');
    const file = join(ready.dir, 'account.pem');
    for (const [name, section] of [
      ['default', '[account]'],
      ['zerossl', '[account "zerossl"]'],
    ] as const)
      await assert.rejects(ready.open({ name }), {
        code: kind,
        message: new RegExp(
          `^${section.replace(/[[\]]/g, '\\$&')} dir: ${file} is absent and cannot be made: `,
        ),
      });
  });

test('openAccountDirectory() names section, option and path where the key cannot be read', async () => {
  await using ready = await start();
  await mkdir(join(ready.dir, 'account.pem'), { recursive: true });
  await assert.rejects(ready.open({ name: 'default' }), {
    code: 'misconfigured',
    message: /^\[account\] dir: .*account\.pem cannot be read: /,
  });
});

test('ten calls of openAccountDirectory() at once make one key and one account', async () => {
  await using ready = await start();
  const { log, lines } = keptLog();
  const accounts = await Promise.all(Array.from({ length: 10 }, () => ready.open({}, log)));
  for (const account of accounts) assert.deepEqual(account, accounts[0]);
  assert.equal(ready.ca.accounts.size, 1);
  assert.equal(lines.filter(({ msg }) => msg === 'account key made').length, 1);
  assert.deepEqual((await readdir(ready.dir)).sort(), ['account.pem', 'registration.json']);
});

for (const [what, text] of [
  ['rubbish', '\u0000\u0001 rubbish'],
  ['empty', ''],
  ['a certificate', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'],
] as const)
  test(`openAccountDirectory() says so where account.pem is ${what}, and leaves it alone`, async () => {
    await using ready = await start();
    await ready.open();
    const file = join(ready.dir, 'account.pem');
    await writeFile(file, text);
    await assert.rejects(ready.open(), {
      code: 'misconfigured',
      message: new RegExp(`^${file} holds no usable private key: not a private key in PEM`),
    });
    assert.equal(await readFile(file, 'utf8'), text);
  });

test('openAccountDirectory() makes an RSA key where one is wanted, as macen takes no other, and leaves one that is there', async () => {
  await using ready = await start();
  const { ca, dir, open } = ready;
  const account = await open({ keyType: 'rsa' });
  const { asymmetricKeyType, asymmetricKeyDetails } = createPrivateKey(account.keyPem);
  assert.deepEqual([asymmetricKeyType, asymmetricKeyDetails?.modulusLength], ['rsa', 2048]);
  assert.match(account.keyPem, /^-----BEGIN PRIVATE KEY-----/);
  assert.equal(account.url, `${ca.url}/account/1`, 'the CA has verified its signature');
  await rm(join(dir, 'registration.json'));
  assert.deepEqual(await open(), account);
});

test('openAccountDirectory() makes the account, with its binding, at a CA that asks for one when it is asked for the account', async () => {
  await using ready = await start();
  const { ca, open } = ready;
  ca.on('/new-account', ({ payload = {} }) =>
    payload.externalAccountBinding
      ? { status: 201, headers: { Location: `${ca.url}/account/7` }, body: { status: 'valid' } }
      : problem(403, 'externalAccountRequired', 'an external account binding is required'),
  );
  const { url } = await open({ eab: { kid: 'kid-1', hmacKey: 'c2VjcmV0' } });
  assert.equal(url, `${ca.url}/account/7`);
  assert.deepEqual(
    accountPosts(ca).map(payload => Object.keys(payload ?? {})),
    [['onlyReturnExisting'], ['termsOfServiceAgreed', 'externalAccountBinding']],
  );
  await using unbound = await start();
  unbound.ca.on('/new-account', () => problem(403, 'externalAccountRequired', 'a binding is required'));
  await assert.rejects(unbound.open(), {
    code: 'misconfigured',
    message: 'the CA refused: a binding is required',
  });
});
