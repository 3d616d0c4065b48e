import assert from 'node:assert/strict';
import { test } from 'node:test';
import { account, auth, loadText, refusal } from '../setup/load-text.ts';

const accounts = `${account}[account "zerossl"]\ndir = /z\n[account "c"]\ndir = /c\n`;
const both = (...lines: string[]) => `${accounts}${auth}account = default, zerossl\n${lines.join('\n')}\n`;
const choicesOf = async (text: string) => (await loadText(text)).auth[0]?.accounts;

test('a plain certificate profile is for every account of a block, where its CA offers it', async () => {
  assert.deepEqual(await choicesOf(both('certificate-profile = shortlived')), [
    { account: 'default', certificateProfile: 'shortlived', profileIfOffered: true },
    { account: 'zerossl', certificateProfile: 'shortlived', profileIfOffered: true },
  ]);
});

test('of a single account the certificate profile must be offered', async () => {
  assert.deepEqual(await choicesOf(`${accounts}${auth}certificate-profile = shortlived\n`), [
    { account: 'default', certificateProfile: 'shortlived' },
  ]);
});

test('a certificate profile that is given for accounts by name is for these alone', async () => {
  assert.deepEqual(await choicesOf(both('certificate-profile = zerossl:tls,default: shortlived')), [
    { account: 'default', certificateProfile: 'shortlived' },
    { account: 'zerossl', certificateProfile: 'tls' },
  ]);
  assert.deepEqual(await choicesOf(both('certificate-profile = zerossl:tls')), [
    { account: 'default' },
    { account: 'zerossl', certificateProfile: 'tls' },
  ]);
});

test('an account whose CA takes any key says so in every block', async () => {
  const text = `${account}keys = usual\n[account "own"]\ndir = /o\nkeys = any\n${auth}account = default, own\n`;
  assert.deepEqual(await choicesOf(text), [{ account: 'default' }, { account: 'own', anyKey: true }]);
  assert.equal(
    await refusal(`${account}keys = weak\n${auth}`),
    'main.ini:3: [account] keys: is neither usual nor any',
  );
});

test('a preferred chain may hold spaces, commas and colons, for all accounts or for one', async () => {
  const chainsOf = async (line: string) =>
    (await choicesOf(both(`preferred-chain = ${line}`)))?.map(({ preferredChain }) => preferredChain);
  const plain = 'Root: Trust, Inc., other:CA';
  assert.deepEqual(await chainsOf(plain), [plain, plain]);
  assert.deepEqual(await chainsOf('default:Trust, Inc. X1, zerossl:USERTrust RSA'), [
    'Trust, Inc. X1',
    'USERTrust RSA',
  ]);
});

test('a plain certificate profile may hold a colon behind what is no name of an account', async () => {
  const [first] = (await choicesOf(both('certificate-profile = urn:short'))) ?? [];
  assert.equal(first?.certificateProfile, 'urn:short');
});

for (const [what, line, message] of [
  [
    'a plain value before that of an account',
    'certificate-profile = tls, zerossl:tls',
    /certificate-profile: mixes a plain value with those of single accounts$/,
  ],
  [
    'a plain value behind that of an account',
    'certificate-profile = default:tls, shortlived',
    /certificate-profile: needs an account before each value: tls, shortlived$/,
  ],
  [
    'a plain chain before that of an account',
    'preferred-chain = ISRG Root X1, zerossl:USERTrust RSA',
    /preferred-chain: mixes a plain value with those of single accounts$/,
  ],
  [
    'an account that the block does not order from',
    'preferred-chain = c:ISRG Root X1',
    /^main\.ini:11: \[auth "mail"\] preferred-chain: has a value for the account "c", but the block orders from default, zerossl$/,
  ],
  [
    'an account twice',
    'certificate-profile = default:tls, default:shortlived',
    /certificate-profile: names the account "default" twice$/,
  ],
  [
    'an account without a value',
    'certificate-profile = default:, zerossl:tls',
    /certificate-profile: has nothing for the account "default"$/,
  ],
  ['an empty value', 'preferred-chain =', /preferred-chain: is empty$/],
] as const)
  test(`loadConfig() refuses ${what} in ${line.slice(0, line.indexOf(' '))}`, async () => {
    assert.match(await refusal(both(line)), message);
  });
