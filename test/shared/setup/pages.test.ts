import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readPage } from '../../support/docs.ts';
import { readBlocks, readPages } from '../../support/pages.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { tlsAuthority } from '../../support/tls-authority.ts';
import { account, auth, loadText } from './load-text.ts';

const folder = join(import.meta.dirname, '../../../shared/solver');
const pages = readdirSync(folder).filter(name => name.endsWith('.md'));

test('each kind of verification has its page', () => {
  assert.ok(pages.length >= 7, pages.join());
});

test('proofs.md shows the map of nginx as the page of TLS-ALPN has it', () => {
  const [map = ''] = /^ +map \$ssl_preread_alpn_protocols[^}]*}$/m.exec(readPage('proofs.md')) ?? [];
  assert.ok(map !== '' && readFileSync(join(folder, 'tlsalpn01.md'), 'utf8').includes(map));
});

/** What the shown configurations take from outside. */
const outside = await tempDir();
after(() => outside[Symbol.asyncDispose]());
for (const name of ['web-hmac', 'tsig'])
  await writeFile(join(outside.path, name), Buffer.alloc(32, 1).toString('base64'));
const env = { CREDENTIALS_DIRECTORY: outside.path, DOMAIN: 'example.org' };

const { caFile, certFile, keyFile } = await tlsAuthority();

/** The files of keys, passwords, certificates and programs are the reader's own. */
const withoutFiles = (block: string) =>
  block
    .replace(
      /^tsig-secret-file = .*$/m,
      `tsig-name = acme\ntsig-secret = ${Buffer.alloc(32, 1).toString('base64')}`,
    )
    .replace(/^hmac_key_file = .*\n/m, '')
    .replace(/^tls-cert = .*$/m, `tls-cert = ${certFile}`)
    .replace(/^tls-key = .*$/m, `tls-key = ${keyFile}`)
    .replace(/^client-ca = .*$/m, `client-ca = ${caFile}`)
    .replace(/(?<=^\[notify .*\n)command = .*$/m, `command = ${process.execPath}`)
    .replace(/^smtp-password-file = .*$/m, `smtp-password = an example`);

/** With the account and the auth block that it leaves to another one of its page. */
const complete = (block: string) =>
  (/^\[account\]/m.test(block) ? '' : account) + (/^\[auth /m.test(block) ? '' : auth) + block;

/** But for single lines, and for what is systemd's. */
const shown = readPages()
  .flatMap(readBlocks)
  .filter(({ language, text }) => language === 'ini' && /^[[#]/.test(text) && !/^\[Unit\]/m.test(text));

test('pages show configurations', () => {
  assert.ok(new Set(shown.map(({ page }) => page)).size >= 15, shown.map(({ page }) => page).join());
});

for (const { page, line, text } of shown)
  test(`the configuration in line ${line} of ${page} can be loaded as it is`, async () => {
    const { verifications } = await loadText(complete(withoutFiles(text)), env);
    assert.ok(verifications.size > 0);
  });
