import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tlsAuthority } from '../../support/tls-authority.ts';
import { account, auth, loadText, loadTexts, refusal } from '../setup/load-text.ts';

const zerossl = '[account "zerossl"]\ndir = /z\nacme-server = https://acme.zerossl.com/v2/DV90\n';

test('loadConfig() reads several accounts, each with options of its own', async () => {
  const { accounts } = await loadText(
    `${account}${zerossl}accept-terms-of-service = yes\ncontact = a@example.org\neab-kid = k\neab-hmac-key = aaaa\n${auth}`,
  );
  assert.deepEqual(
    [...accounts.values()],
    [
      {
        name: 'default',
        acmeServer: 'https://acme-staging-v02.api.letsencrypt.org/directory',
        termsOfService: false,
        dir: '/var/lib/quarry',
        contact: [],
        limits: {},
      },
      {
        name: 'zerossl',
        acmeServer: 'https://acme.zerossl.com/v2/DV90',
        termsOfService: true,
        dir: '/z',
        contact: ['mailto:a@example.org'],
        eab: { kid: 'k', hmacKey: 'aaaa' },
        limits: {},
      },
    ],
  );
});

test('an account may be the only one whatever its name, and "default" is the name of one without', async () => {
  const only = await loadText(zerossl + auth);
  assert.deepEqual(
    [[...only.accounts.keys()], only.auth[0]?.accounts],
    [['zerossl'], [{ account: 'zerossl' }]],
  );
  const named = await loadText(`[account "default"]\ndir = /a\n${auth}`);
  assert.deepEqual([...named.accounts.keys()], ['default']);
  assert.equal(
    await refusal(`${account}[account "default"]\ndir = /b\n${auth}`),
    'main.ini:3: [account "default"]: is defined twice, first at main.ini:1',
  );
});

const { caFile, certFile } = await tlsAuthority();

test('ACME_CAFILE stands in for the ca-file of every account that has none', async () => {
  const text = `${account}${zerossl}[account "own"]\ndir = /o\nca-file = ${certFile}\n${auth}`;
  const { accounts } = await loadText(text, { ACME_CAFILE: caFile });
  assert.deepEqual(
    [...accounts.values()].map(({ caFile }) => caFile),
    [caFile, caFile, certFile],
  );
});

for (const [what, text, message] of [
  [
    'two accounts in one dir',
    `${account}[account "b"]\ndir = /var/lib/x/../quarry/\n${auth}`,
    'main.ini:4: [account "b"] dir: is that of [account] too; each needs its own',
  ],
  [
    'an account without a dir',
    `${account}[account "b"]\n${auth}`,
    'main.ini:3: [account "b"] dir: is missing; it is where account.pem and registration.json lie',
  ],
  [
    'a name that could not stand in a list',
    `${account}[account "a:b"]\ndir = /b\n${auth}`,
    'main.ini:3: [account "a:b"]: has a name with more in it than letters, digits, - and _',
  ],
] as const)
  test(`loadConfig() refuses ${what}`, async () => assert.equal(await refusal(text), message));

test('the accounts of a block are its own, else those of [mgmt], else the one named default', async () => {
  const three = `${account}${zerossl}[account "c"]\ndir = /c\n`;
  const blocks = `${auth}[auth "own"]\nall = yes\ndomain = a\naccount = c, zerossl\naccount = c\n`;
  const accountsOf = async (more: string) =>
    (await loadText(`${three}${blocks}${more}`)).auth.map(({ accounts }) => accounts.map(one => one.account));
  assert.deepEqual(await accountsOf(''), [['default'], ['c', 'zerossl']]);
  const usual = '[mgmt]\ndefault-account = zerossl, default\n';
  assert.deepEqual(await accountsOf(usual), [
    ['zerossl', 'default'],
    ['c', 'zerossl'],
  ]);
});

test('loadConfig() refuses a block for which no account is the default, and says what to write', async () => {
  const two = `${zerossl}[account "c"]\ndir = /c\n`;
  assert.equal(
    await refusal(two + auth),
    'main.ini:6: [auth "mail"] account: is missing, and no account is the default: write account = zerossl, c, or default-account = zerossl, c in [mgmt]',
  );
  assert.match(await refusal(`${two + auth}acount = c\n`), /acount: unknown option/);
  assert.ok(await loadText(`${two + auth}account = c\n`));
  assert.ok(await loadText(`${two + auth}[mgmt]\ndefault-account = c\n`));
});

test('loadConfig() refuses an account that no file defines', async () => {
  const defined = 'is defined; defined: "default", "zerossl"';
  assert.equal(
    await refusal(`${account}${zerossl}${auth}account = default, zerosll\n`),
    `main.ini:9: [auth "mail"] account: no [account "zerosll"] ${defined}`,
  );
  await assert.rejects(
    loadTexts({ 'a.ini': account + zerossl + auth, 'b.ini': '[mgmt]\ndefault-account = x\n' }),
    { message: `b.ini:2: [mgmt] default-account: no [account "x"] ${defined}` },
  );
  assert.match(
    await refusal(`${account}${auth}account =\n`),
    /\[auth "mail"\] account: names no account block$/,
  );
});

test('an account has the proxy of the environment, its own, or none, and no error has its password', async () => {
  const env = { HTTPS_PROXY: 'http://proxy.example:3128', NO_PROXY: 'ca.example' };
  const own = `${zerossl}proxy = http://u:s3cret@own.example:8080\n`;
  const none = zerossl.replaceAll('zerossl', 'none').replace('/z', '/n');
  const { accounts } = await loadText(`${account}${own}${none}proxy = no\n${auth}`, env);
  assert.match(accounts.get('default')?.proxy?.HTTPS_PROXY ?? '', /^http:\/\/proxy\.example:3128/);
  assert.match(accounts.get('default')?.proxy?.NO_PROXY ?? '', /,\.ca\.example$/);
  assert.equal(accounts.get('zerossl')?.proxy?.HTTPS_PROXY, 'http://u:s3cret@own.example:8080/');
  assert.equal(accounts.get('zerossl')?.proxy?.NO_PROXY, undefined);
  assert.equal(accounts.get('none')?.proxy, undefined);
  const said = await refusal(`${account}proxy = socks5://u:s3cret@own.example\n${auth}`);
  assert.equal(
    said,
    'main.ini:3: [account] proxy: is not http://host:port or https://host:port; other kinds of proxies cannot be used',
  );
});

test('an account has a key of the type that it wants, which is EC or RSA', async () => {
  const keyTypeOf = async (line: string) =>
    (await loadText(`${account}${line}\n${auth}`)).accounts.get('default')?.keyType;
  assert.deepEqual(
    [await keyTypeOf(''), await keyTypeOf('key-type = ec'), await keyTypeOf('key-type = rsa')],
    [undefined, undefined, 'rsa'],
  );
  assert.match(await refusal(`${account}key-type = dsa\n${auth}`), /key-type: is neither ec nor rsa$/);
});
