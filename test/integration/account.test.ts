import assert from 'node:assert/strict';
import { generateKeyPair } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { axios, Client } from 'acme-client';
import { makeCsr } from '../support/csr.ts';
import { accountSecrets, type Fleet, startFleet } from '../support/fleet.ts';
import { runQuarry, toldLines } from '../support/run-quarry.ts';
import { tempDir } from '../support/temp-dir.ts';

const fleet = await startFleet({ roles: ['intake', 'responder'] });
after(() => fleet[Symbol.asyncDispose]());

const newAccounts = ({ ca } = fleet) => ca.requests().filter(({ kind }) => kind === 'newAccount');
const newOrders = () => fleet.ca.requests().filter(({ kind }) => kind === 'newOrder');
const accountIn = (dir: string, more = 'accept-terms-of-service = yes') => ({
  account: `dir = ${dir}\n${more}`,
});

async function readRegistration(dir: string) {
  return JSON.parse(await readFile(join(dir, 'registration.json'), 'utf8')) as { uri: string; body: object };
}

/** A worker with this account directory issues; answers with the account that it ordered with. */
async function issueWith(dir: string, name: string): Promise<string | undefined> {
  await using worker = await fleet.start('worker', accountIn(dir));
  const { csrPem } = await makeCsr({ names: [name] });
  const { status, body } = await fleet.post(csrPem);
  assert.equal(status, 200, body);
  for (const secret of accountSecrets(join(dir, 'account.pem'))) fleet.secrets.add(secret);
  assert.equal(await worker.stop(), 0);
  return newOrders().at(-1)?.account;
}

suite("an account directory in macen's format", () => {
  const dir = join(fleet.dir, 'macen-account');
  let uri = '';

  /** account.pem and registration.json as macen and python-acme write them. */
  async function registerAsMacen(): Promise<void> {
    await mkdir(dir);
    const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 4096 });
    const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    await writeFile(join(dir, 'account.pem'), keyPem);
    axios.defaults.httpsAgent = new Agent({ ca: await readFile(fleet.pebble.caFile) });
    const client = new Client({ directoryUrl: fleet.ca.directoryUrl, accountKey: keyPem });
    const body = await client.createAccount({
      termsOfServiceAgreed: true,
      contact: ['mailto:macen@example.org'],
    });
    uri = client.getAccountUrl();
    const registration = {
      body: { contact: body.contact, status: body.status },
      uri,
      terms_of_service: null,
    };
    await writeFile(join(dir, 'registration.json'), JSON.stringify(registration));
  }

  test('is used as it stands: the CA is asked once whose the key is, and that is noted beside the rest', async () => {
    await registerAsMacen();
    const [asked, keyPem, macens] = [
      newAccounts().length,
      await readFile(join(dir, 'account.pem'), 'utf8'),
      await readRegistration(dir),
    ];
    for (const name of ['as-it-stands.example', 'as-it-stood.example'])
      assert.equal(await issueWith(dir, name), uri);
    assert.deepEqual(
      newAccounts()
        .slice(asked)
        .map(({ payload, status }) => [payload?.onlyReturnExisting, status]),
      [[true, 200]],
    );
    const { quarry, ...kept } = (await readRegistration(dir)) as {
      uri: string;
      body: object;
      quarry: object;
    };
    assert.deepEqual([kept, Object.keys(quarry)], [macens, ['directory', 'thumbprint']]);
    assert.equal(await readFile(join(dir, 'account.pem'), 'utf8'), keyPem);
    assert.deepEqual((await readdir(dir)).sort(), ['account.pem', 'registration.json']);
  });

  test('without registration.json gets it back by a look-up of its key, not by a new account', async () => {
    await rm(join(dir, 'registration.json'));
    const asked = newAccounts().length;
    assert.equal(await issueWith(dir, 'looked-up.example'), uri);
    assert.deepEqual(
      newAccounts()
        .slice(asked)
        .map(({ payload, status }) => [payload?.onlyReturnExisting, status]),
      [[true, 200]],
    );
    assert.equal((await readRegistration(dir)).uri, uri);
  });

  test('with a damaged registration.json, too, and says so', async () => {
    await writeFile(join(dir, 'registration.json'), '{"body": {');
    await using worker = await fleet.start('worker', accountIn(dir));
    assert.equal((await readRegistration(dir)).uri, uri);
    assert.ok(worker.log().some(({ msg }) => /registration is damaged/.test(`${msg}`)));
  });

  test('whose account.pem was replaced gets the account of that key, and the first one back with its key', async () => {
    const file = join(dir, 'account.pem');
    const macens = await readFile(file, 'utf8');
    const { privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' });
    await writeFile(file, privateKey.export({ type: 'pkcs8', format: 'pem' }) as string);
    const other = await issueWith(dir, 'replaced.example');
    assert.notEqual(other, uri);
    assert.equal((await readRegistration(dir)).uri, other);
    await writeFile(file, macens);
    assert.equal(await issueWith(dir, 'put-back.example'), uri);
  });

  test('may hold an EC key instead, in SEC1 as openssl writes it', async () => {
    const ecDir = join(fleet.dir, 'ec-account');
    await mkdir(ecDir);
    const { privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-384' });
    const keyPem = privateKey.export({ type: 'sec1', format: 'pem' }) as string;
    await writeFile(join(ecDir, 'account.pem'), keyPem);
    const account = await issueWith(ecDir, 'ec-account.example');
    assert.equal((await readRegistration(ecDir)).uri, account);
    assert.equal(await readFile(join(ecDir, 'account.pem'), 'utf8'), keyPem);
  });
});

suite('an empty account directory', () => {
  test('gets one key and one account from four workers that start together, for the owner only', async () => {
    const dir = join(fleet.dir, 'several', 'account');
    const asked = newAccounts().length;
    const workers = await Promise.all([1, 2, 3, 4].map(() => fleet.start('worker', accountIn(dir))));
    const made = newAccounts().slice(asked);
    assert.equal(made.filter(({ status }) => status === 201).length, 1, 'one account is made');
    const { uri, body } = await readRegistration(dir);
    assert.match(uri, /^https:\/\/127\.0\.0\.1:\d+\/my-account\//);
    assert.equal((body as { status?: string }).status, 'valid');
    assert.deepEqual((await readdir(dir)).sort(), ['account.pem', 'registration.json']);
    assert.equal((await stat(join(dir, 'account.pem'))).mode & 0o777, 0o600);
    assert.equal((await stat(dir)).mode & 0o077, 0);

    for (const secret of accountSecrets(join(dir, 'account.pem'))) fleet.secrets.add(secret);
    const before = newOrders().length;
    const csrs = await Promise.all(
      [1, 2, 3, 4, 5, 6, 7, 8].map(n => makeCsr({ names: [`w${n}.several.example`] })),
    );
    const answers = await Promise.all(csrs.map(({ csrPem }) => fleet.post(csrPem)));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    assert.deepEqual(
      new Set(
        newOrders()
          .slice(before)
          .map(({ account }) => account),
      ),
      new Set([uri]),
    );
    await Promise.all(workers.map(worker => worker.stop()));
  });
});

suite('the terms of service', () => {
  /** A worker that is to end by itself. */
  const runWorker = async (account: string, of: Fleet = fleet) => {
    await using dir = await tempDir();
    return runQuarry(['worker', 'main.ini'], await of.ini({ account: `dir = ${dir.path}\n${account}` }));
  };

  test('that are not accepted end a worker with exit code 1 and one line that names their URL', async () => {
    const asked = newAccounts().length;
    const ended = await runWorker('accept-terms-of-service = no');
    assert.equal(ended.code, 1);
    const [line = '', ...more] = toldLines(ended);
    assert.deepEqual(more, []);
    assert.match(
      line,
      /^quarry: .*terms of service are not accepted.*data:text\/plain,Do%20what%20thou%20wilt/,
    );
    assert.deepEqual(
      newAccounts()
        .slice(asked)
        .map(({ payload }) => payload?.onlyReturnExisting),
      [true],
    );
  });

  test('are accepted by their URL, and by no other', async () => {
    const terms = 'https://ca.example/terms-v2.pdf';
    const rule = fleet.ca.rule({
      kind: 'directory',
      do: {
        rewrite: ({ body }) => {
          const directory = JSON.parse(body);
          return {
            body: JSON.stringify({ ...directory, meta: { ...directory.meta, termsOfService: terms } }),
          };
        },
      },
    });
    const dir = join(fleet.dir, 'terms-account');
    const older = 'accept-terms-of-service = https://ca.example/terms-v1.pdf';
    const ended = await runWorker(older);
    assert.equal(ended.code, 1);
    assert.match(toldLines(ended).join(), /https:\/\/ca\.example\/terms-v2\.pdf/);
    await using worker = await fleet.start(
      'worker',
      accountIn(dir, `${older}\naccept-terms-of-service = ${terms}`),
    );
    assert.deepEqual(
      [newAccounts().at(-1)?.status, newAccounts().at(-1)?.payload?.termsOfServiceAgreed],
      [201, true],
    );
    for (const secret of accountSecrets(join(dir, 'account.pem'))) fleet.secrets.add(secret);
    assert.equal(await worker.stop(), 0);
    rule.remove();
  });
});

suite('external account binding, at a strict CA that requires it', () => {
  const macKey = Buffer.from('a mac key of thirty-two bytes ...').toString('base64url');
  const eab = (kid: string) => `accept-terms-of-service = yes\neab-kid = ${kid}\neab-hmac-key = ${macKey}`;

  test('works with eab-kid and eab-hmac-key, and without ends the worker with one line', async () => {
    await using bound = await startFleet({
      roles: ['intake', 'responder'],
      pebble: {
        strict: true,
        config: { externalAccountBindingRequired: true, externalAccountMACKeys: { 'kid-1': macKey } },
      },
    });
    const without = await bound.ini();
    const ended = await runQuarry(['worker', 'main.ini'], without);
    assert.equal(ended.code, 1);
    assert.equal(toldLines(ended).length, 1, ended.stderr);
    assert.match(toldLines(ended).join(), /set eab-kid and eab-hmac-key/);

    await bound.start('worker', { account: `dir = ${bound.accountDir}\n${eab('kid-1')}` });
    const [made] = newAccounts(bound).filter(({ status }) => status === 201);
    assert.ok(made?.payload?.externalAccountBinding);
    const { csrPem } = await makeCsr({ names: ['bound.example'] });
    const { status, body } = await bound.post(csrPem);
    assert.equal(status, 200, body);
  });
});
