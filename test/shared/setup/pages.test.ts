import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { docsPages, readPage } from '../../support/docs.ts';
import { tempDir } from '../../support/temp-dir.ts';
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

/** The file of a key or a password is the reader's own. */
const withoutFiles = (block: string) =>
  block
    .replace(
      /^tsig-secret-file = .*$/m,
      `tsig-name = acme\ntsig-secret = ${Buffer.alloc(32, 1).toString('base64')}`,
    )
    .replace(/^hmac_key_file = .*\n/m, '')
    .replace(/^smtp-password-file = .*$/m, `smtp-password = an example`);

const shownIn = (page: string) =>
  [...readFileSync(join(folder, page), 'utf8').matchAll(/^```ini\n([^`]*)^```$/gm)].map(
    ([, block = '']) => block,
  );
const forPeople = docsPages.map(page => `../../${page}`).filter(page => shownIn(page).length > 0);

test('pages for people show configurations', () => assert.ok(forPeople.length >= 4, forPeople.join()));

for (const page of [...pages, '../ca/accounts.md', '../config/files.md', ...forPeople])
  test(`the configuration that ${basename(page)} shows can be loaded as it is`, async () => {
    const shown = shownIn(page);
    const blocks = shown.filter(block => /^[[#]/.test(block)).map(withoutFiles); // others are single lines
    assert.ok(blocks.length > 0, 'it shows one');
    for (const block of blocks) {
      const { verifications } = await loadText(
        `${/^\[account\]/m.test(block) ? '' : account}${/^\[auth /m.test(block) ? '' : auth}${block}`,
        env,
      );
      assert.ok(verifications.size > 0);
    }
  });
