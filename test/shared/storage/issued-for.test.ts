import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isIssuedFor } from '../../../shared/storage/issued-for.ts';

const production = 'https://acme-v02.api.letsencrypt.org/directory';
const staging = 'https://acme-staging-v02.api.letsencrypt.org/directory';
const zerossl = 'https://acme.zerossl.com/v2/DV90';
const at = (directory: string, account = 'default') => ({ account, directory });
const leafOf = (issuer: string) => ({ issuer }) as Parameters<typeof isIssuedFor>[0]['leaf'];
const recorded = (directory: string, account?: string) => ({
  leaf: leafOf('CN=any'),
  issuedBy: at(directory, account),
});

for (const [what, stored, accounts, all, good] of [
  ['of the one account', recorded(production), [at(production)], [], true],
  ['of an account whose directory is another by now', recorded(staging), [at(production)], [], false],
  ['of the second choice', recorded(zerossl, 'z'), [at(production), at(zerossl, 'z')], [], true],
  ['of an account that is no choice', recorded(zerossl, 'z'), [at(production)], [at(zerossl, 'z')], false],
  ['of an account that was renamed', recorded(production, 'old'), [at(production, 'new')], [], true],
  [
    'of an account whose name another one has by now',
    recorded(production),
    [at(production, 'le')],
    [at(zerossl)],
    true,
  ],
  [
    'of another account at the same CA, which is configured still',
    recorded(production, 'b'),
    [at(production, 'a')],
    [at(production, 'b')],
    false,
  ],
  ['of a block without accounts', recorded(production), [], [at(production)], false],
] as const)
  test(`isIssuedFor() takes a certificate ${what} for ${good ? 'good' : 'one to be replaced'}`, () => {
    assert.equal(isIssuedFor(stored, accounts, [...accounts, ...all]), good);
  });

/** As Node tells the issuers of these CAs. */
const issuers = {
  "Let's Encrypt": "C=US\nO=Let's Encrypt\nCN=E7",
  'an internal CA': 'CN=elsewhere',
  staging: "C=US\nO=(STAGING) Let's Encrypt\nCN=(STAGING) False Fennel E6",
  'the older staging': 'CN=Fake LE Intermediate X1',
  Pebble: 'CN=Pebble Intermediate CA 4c3e2b',
  Boulder: 'CN=h2ppy h2cker fake CA',
  'an older Boulder': 'CN=happy hacker fake CA',
};
const isTest = (name: string) => !["Let's Encrypt", 'an internal CA'].includes(name);

for (const [name, issuer] of Object.entries(issuers)) {
  for (const directory of [production, zerossl, 'https://ca.corp.example.com/acme/directory'])
    test(`isIssuedFor() ${isTest(name) ? 'replaces' : 'keeps'} what macen has of ${name} for ${directory}`, () => {
      assert.equal(isIssuedFor({ leaf: leafOf(issuer) }, [at(directory)], []), !isTest(name));
    });

  for (const directory of [
    staging,
    'https://localhost:14000/dir',
    'https://127.0.0.1:14000/dir',
    'https://[::1]:14000/dir',
    'https://10.1.2.3/dir',
    'https://pebble:14000/dir',
    'https://ca.internal/dir',
    'https://acme.test/dir',
    'https://api.test4.buypass.no/acme/directory',
    'https://dv.acme-v02.test-api.pki.goog/directory',
  ])
    test(`isIssuedFor() keeps what macen has of ${name} for the test CA ${directory}`, () => {
      assert.equal(isIssuedFor({ leaf: leafOf(issuer) }, [at(production), at(directory)], []), true);
    });
}
