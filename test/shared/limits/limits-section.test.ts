import assert from 'node:assert/strict';
import { test } from 'node:test';
import { account, auth, loadText, refusal } from '../setup/load-text.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const letsEncrypt = '[account]\ndir = /a\nacme-server = https://acme-v02.api.letsencrypt.org/directory\n';

const published = {
  orders: { count: 300, period: 3 * HOUR },
  certificatesPerDomain: { count: 50, period: 7 * DAY },
  certificatesPerSet: { count: 5, period: 7 * DAY },
  failedAuthorizations: { count: 5, period: HOUR },
};

const limitsOf = async (text: string) => (await loadText(text)).accounts.get('default')?.limits;

test("loadConfig() knows Let's Encrypt's published limits, and none of another CA", async () => {
  assert.deepEqual(await limitsOf(letsEncrypt + auth), published);
  assert.deepEqual(await limitsOf(account + auth), {});
});

test('loadConfig() takes other limits, and switches single ones off', async () => {
  const text = `${letsEncrypt + auth}[limits]\norders = 20 / 90s\ncertificates-per-set = off\n`;
  const { certificatesPerSet: _, ...rest } = published;
  assert.deepEqual(await limitsOf(text), { ...rest, orders: { count: 20, period: 90_000 } });
});

test('loadConfig() takes the limits of each account by itself', async () => {
  const other = '[account "other"]\ndir = /b\n';
  const limits = '[limits "other"]\norders = 1/1h\n';
  const { accounts } = await loadText(letsEncrypt + other + auth + limits);
  assert.deepEqual(accounts.get('default')?.limits, published);
  assert.deepEqual(accounts.get('other')?.limits, { orders: { count: 1, period: HOUR } });
  assert.deepEqual(
    (await limitsOf(`${letsEncrypt + other + auth}[limits "default"]\norders = off\n`))?.orders,
    undefined,
  );
});

test('loadConfig() refuses the limits of an account that is not defined', async () => {
  assert.equal(
    await refusal(`${account + auth}[limits "othr"]\n`),
    'main.ini:6: [limits "othr"]: is of the account "othr", which is not defined; defined: "default"',
  );
  assert.match(
    await refusal(`[account "a"]\ndir = /a\n${auth}[limits]\n`),
    /^main\.ini:6: \[limits\]: is of the account "default", which is not defined; defined: "a"$/,
  );
});

for (const rate of ['300', '0/3h', '300/3y', '-1/3h', '300 per 3h']) {
  test(`loadConfig() refuses ${JSON.stringify(rate)} as a limit`, async () => {
    assert.match(
      await refusal(`${account + auth}[limits]\norders = ${rate}\n`),
      /orders: is neither a rate such as 300\/3h/,
    );
  });
}

test('loadConfig() takes a share, a certificate profile and a preferred chain of an auth block', async () => {
  const more = 'share = 25%\ncertificate-profile = shortlived\npreferred-chain = ISRG Root X2\n';
  const [block] = (await loadText(account + auth + more)).auth;
  const [choice] = block?.accounts ?? [];
  assert.deepEqual(
    [block?.share, choice?.certificateProfile, choice?.preferredChain],
    [{ name: block?.name, part: 0.25 }, 'shortlived', 'ISRG Root X2'],
  );
});

for (const share of ['0%', '101%', '0.5', 'half', '']) {
  test(`loadConfig() refuses a share of ${JSON.stringify(share)}`, async () => {
    assert.match(
      await refusal(`${account + auth}share = ${share}\n`),
      /share: is not a percentage such as 25%/,
    );
  });
}

const tenants = (...shares: string[]) =>
  account +
  shares.map((share, n) => `[auth "t${n}"]\nall = yes\ndomain = *.t${n}.example\n${share}\n`).join('');

test("loadConfig() gives blocks without a share together what the others' shares leave", async () => {
  const { auth } = await loadText(tenants('share = 30%', '', 'share = 40%', ''));
  const shares = auth.map(({ share }) => `${share?.name} ${share?.part}`);
  assert.deepEqual(shares, ['t0 0.3', '* 0.3', 't2 0.4', '* 0.3']);
  assert.deepEqual(
    (await loadText(tenants('', ''))).auth.map(({ share }) => share),
    [undefined, undefined],
  );
  const whole = await loadText(tenants('share = 12.5%', 'share = 37.5%', 'share = 50%'));
  assert.deepEqual(whole.auth.at(-1)?.share, { name: 't2', part: 0.5 });
});

test('loadConfig() refuses shares of more than there is, or that leave nothing to a block without one', async () => {
  const more = 'share: makes more than 100% with those of the other blocks';
  assert.match(await refusal(tenants('share = 60%', 'share = 50%')), new RegExp(`\\[auth "t0"\\] ${more}`));
  const none = 'share: is missing, and the other blocks leave nothing';
  assert.match(
    await refusal(tenants('share = 60%', 'share = 40%', '')),
    new RegExp(`\\[auth "t2"\\] ${none}`),
  );
});

test('loadConfig() divides the orders of each account among the blocks that order from it', async () => {
  const accounts = `${account}[account "b"]\ndir = /b\n`;
  const blocks = (...options: string[]) =>
    accounts +
    options.map((one, n) => `[auth "t${n}"]\nall = yes\ndomain = *.t${n}.example\n${one}\n`).join('');
  const read = async (...options: string[]) =>
    (await loadText(blocks(...options))).auth.map(({ share }) => share && `${share.name} ${share.part}`);
  assert.deepEqual(await read('share = 60%', 'share = 70%\naccount = b', 'account = b, default', ''), [
    't0 0.6',
    't1 0.7',
    '* 0.3',
    '* 0.4',
  ]);
  assert.deepEqual(await read('share = 100%', 'account = b'), ['t0 1', undefined]);
  assert.match(
    await refusal(blocks('share = 60%', 'share = 50%\naccount = b, default')),
    /\[auth "t0"\] share: makes more than 100%/,
  );
});

const http = (lines: string) => `${account + auth}[verification "http"]\ntype = http01\n${lines}\n`;

test('loadConfig() takes where and how Quarry looks at its own challenge responses', async () => {
  const lines = [
    'self-check = require',
    'self-check-port = 8080',
    'self-check-resolver = 192.0.2.53',
    'self-check-resolver = [2001:db8::53]:5353',
    'self-check-network = 10.0.0.0/8',
  ];
  const verification = (await loadText(http(lines.join('\n')))).verifications.get('http');
  assert.ok(verification?.type === 'http01');
  assert.deepEqual(verification.selfCheck, {
    mode: 'require',
    port: 8080,
    resolvers: [
      { host: '192.0.2.53', port: 53 },
      { host: '2001:db8::53', port: 5353 },
    ],
    networks: ['10.0.0.0/8'],
  });
});

for (const [line, reason] of [
  ['self-check = maybe', /self-check: is none of off, warn, require/],
  ['self-check-port = 0', /self-check-port: is not a whole number/],
  ['self-check-resolver = ns.example.org', /self-check-resolver: is not an address/],
  ['self-check-resolver = 192.0.2.53:99999', /self-check-resolver: needs a port from 1 to 65535$/],
  ['self-check-network = 10.0.0.1/8', /did you mean 10\.0\.0\.0\/8/],
] as const) {
  test(`loadConfig() refuses ${line}`, async () => {
    assert.match(await refusal(http(line)), reason);
  });
}
