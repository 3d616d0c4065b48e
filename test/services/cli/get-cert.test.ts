import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { acmeCommand } from '../../../services/cli/acme/acme.ts';
import { joinChain, splitChain } from '../../../shared/pki/certificate.ts';
import { startWithAccount } from '../../shared/acme/account-ready.ts';
import { makeCertificate } from '../../shared/pki/openssl-csr.ts';
import { tempDir } from '../../support/temp-dir.ts';

const [leaf, issuer] = [makeCertificate(), makeCertificate()];

/** What `get-cert` prints of a chain that a CA sends. */
async function getCert(chain: string): Promise<string> {
  await using ready = await startWithAccount();
  await using dir = await tempDir();
  const { ca, account } = ready;
  const key = join(dir.path, 'account.pem');
  await writeFile(key, account.keyPem);
  const at = (path: string) => `${ca.url}${path}`;
  const identifiers = [{ type: 'dns', value: 'example.org' }];
  const order = { status: 'valid', identifiers, authorizations: [at('/authorization')] };
  ca.on('/order', () => ({ body: { ...order, finalize: at('/finalize'), certificate: at('/certificate') } }));
  ca.on('/certificate', () => ({ body: chain }));
  const written: string[] = [];
  const words = ['reg', key, account.url, ca.directoryUrl, 'order', 'get-cert', at('/order')];
  await acmeCommand.run(words, { env: {}, write: text => void written.push(text) });
  return written.join('');
}

for (const [what, chain] of [
  ['without a line between its certificates', `${leaf}${issuer}`],
  ['with lines of its own', `# the leaf\n${leaf}\n\n\n${issuer.trimEnd()}`],
  ["with Windows' line ends", `${leaf}${issuer}`.replaceAll('\n', '\r\n')],
] as const)
  test(`get-cert prints a chain ${what} as the CA sent it`, async () => {
    assert.equal(await getCert(chain), chain);
  });

test('get-cert prints the certificates alone where something else could steer the terminal', async () => {
  for (const hostile of ['\u001b[2J', '\u009b2J', '\b'])
    assert.equal(await getCert(`${hostile}\n${leaf}${issuer}`), joinChain(splitChain(leaf + issuer)));
});

test('get-cert prints nothing that is no chain', async () => {
  await assert.rejects(getCert('<html>'), /no PEM block "CERTIFICATE"/);
});
