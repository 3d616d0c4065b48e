import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, test } from 'node:test';
import { splitChain } from '../../shared/pki/certificate.ts';
import { makeCsr } from '../support/csr.ts';
import { startFleet } from '../support/fleet.ts';

const day = 86_400;

const fleet = await startFleet({
  pebble: {
    profiles: {
      long: { description: '90 days', validityPeriod: 90 * day },
      short: { description: '6 days', validityPeriod: 6 * day },
    },
    env: { PEBBLE_ALTERNATE_ROOTS: '2', PEBBLE_CHAIN_LENGTH: '3' },
  },
  blocks: `
[auth "long"]
all = yes
domain = *.long.example.org
certificate-profile = long

[auth "short"]
all = yes
domain = *.short.example.org
certificate-profile = short

[auth "unknown"]
all = yes
domain = *.unknown.example.org
certificate-profile = nonesuch
`,
});
after(() => fleet[Symbol.asyncDispose]());

async function sign(name: string) {
  const { csrPem } = await makeCsr({ names: [name] });
  return fleet.post(csrPem);
}

const lifeInDays = (leaf: X509Certificate) =>
  (leaf.validToDate.getTime() - leaf.validFromDate.getTime()) / day / 1000;

for (const [profile, days] of [
  ['long', 90],
  ['short', 6],
] as const) {
  test(`an auth block's certificate-profile is ordered: ${profile}`, async () => {
    for (let count = 0; count < 3; count++) {
      const { status, body } = await sign(`h${count}.${profile}.example.org`);
      assert.equal(status, 200);
      assert.equal(Math.round(lifeInDays(new X509Certificate(splitChain(body)[0] ?? ''))), days);
    }
  });
}

test('a certificate profile that the CA does not offer is an operator’s matter, told in one line', async () => {
  const { status, body } = await sign('h.unknown.example.org');
  assert.equal(status, 500);
  assert.match(body, /nonesuch/);
});

/**
 * Pebble's alternate roots are known only once it runs, so the block that prefers one is of a second fleet's
 * worker.
 */
test('preferred-chain takes the chain whose topmost certificate this issuer signed', async () => {
  const roots = splitChain(await fleet.pebble.rootPem()).map(pem => new X509Certificate(pem));
  const issuers = roots.map(({ subject }) => /CN=(.*)/.exec(subject)?.[1] ?? '');
  assert.equal(new Set(issuers).size, 3);
  for (const worker of fleet.all('worker')) await worker.stop(); // which would not know the blocks
  for (const [index, issuer] of issuers.entries()) {
    const blocks = `
[auth "chosen"]
all = yes
domain = *.example.org
preferred-chain = ${issuer}
`;
    await using intake = await fleet.start('intake', { blocks });
    await using _ = await fleet.start('worker', { blocks });
    const { csrPem } = await makeCsr({ names: [`h${index}.chain.example.org`] });
    const { status, body } = await fleet.post(csrPem, { to: intake });
    assert.equal(status, 200);
    const topmost = new X509Certificate(splitChain(body).at(-1) ?? '');
    assert.match(topmost.issuer, new RegExp(`CN=${issuer}$`));
  }
});
