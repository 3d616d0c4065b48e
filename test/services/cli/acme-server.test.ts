import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { checkCommand } from '../../../services/cli/check-command.ts';
import { loadConfig } from '../../../shared/setup/load-config.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { tlsAuthority } from '../../support/tls-authority.ts';

const long = '0123456789abcdef0123456789abcdef-long-enough';
const directory = 'https://quarry.example.org/acme/directory';

const blocks = `[account]
dir = DIR
[auth "keyed"]
hmac_type = sha256
hmac_key = \${env:KEY}
hmac_key = short, but long enough for curl
domain = a.example.org
[auth "near"]
ip = 192.0.2.0/24
domain = b.example.org
[auth "tokens"]
token = yes
domain = c.example.org
[auth "both"]
token = yes
hmac_type = sha256
hmac_key = ${long}
domain = d.example.org
`;
const acme = '[acme]\nurl = https://quarry.example.org/acme\n';

/** What `quarry check` writes of a file, with these words in front. */
async function check(text: string, ...words: string[]): Promise<string> {
  await using dir = await tempDir();
  const file = join(dir.path, 'main.ini');
  await writeFile(file, text.replace('DIR', dir.path));
  let output = '';
  const write = (written: string) => {
    output += written;
    return undefined;
  };
  await checkCommand.run([...words, file], { env: { KEY: long }, write });
  return output;
}

suite('quarry check, of the ACME server', () => {
  test('says where it is, and what clients of each block need, without a key', async () => {
    const output = await check(blocks + acme);
    assert.ok(
      output.includes(`ACME server: ${directory}
  [auth "keyed"]: EAB key id "keyed"; quarry check --eab prints the key
  [auth "near"]: no EAB
  [auth "tokens"]: EAB key id and key of a token, as quarry token add prints them
  [auth "both"]: no ACME client, as a binding is by a key or by a token, and never by both
`),
      output,
    );
    for (const secret of [long, Buffer.from(long).toString('base64url')]) assert.ok(!output.includes(secret));
  });

  test('warns where nobody answers by https, or the listeners alone do', async () => {
    const warning =
      'warning: [acme] url: https://quarry.example.org/acme needs tls-cert and tls-key in [mgmt]';
    assert.ok((await check(blocks + acme)).includes(warning));
    const behind = '[mgmt]\ntrusted-proxy = 192.0.2.1\n';
    assert.ok(!(await check(blocks + acme + behind)).includes('[acme] url:'));
    const { certFile, keyFile } = await tlsAuthority();
    const byTls = `[mgmt]\ntls-cert = ${certFile}\ntls-key = ${keyFile}\n`;
    assert.ok(!(await check(blocks + acme + byTls)).includes('[acme] url:'));
    const clear = acme.replace('https://quarry.example.org', 'http://127.0.0.1:1313');
    assert.match(
      await check(blocks + clear + byTls),
      /warning: .acme. url: http:.* is http, and the listeners/,
    );
    assert.ok(!(await check(blocks + clear)).includes('[acme] url:'));
  });

  test('says nothing of it where there is none', async () => {
    assert.doesNotMatch(await check(blocks), /ACME server|EAB/);
    await assert.rejects(check(blocks, '--eab'), {
      message: '[acme] has no url, so there is no ACME server',
    });
  });

  test('--eab prints the keys as clients take them, also those that came from outside of the files', async () => {
    assert.equal(
      await check(blocks + acme, '--eab'),
      `directory: ${directory}

[auth "keyed"]
  key id: keyed
  key:    ${Buffer.from(long).toString('base64url')}
  key:    ${Buffer.from('short, but long enough for curl').toString('base64url')}
`,
    );
    for (const word of ['--probe', '--for=responder'])
      await assert.rejects(check(blocks + acme, '--eab', word), { name: 'UsageError' });
  });

  test('warns of keys that some clients do not take, where there is one, as a role does at its start', async () => {
    await using dir = await tempDir();
    const file = join(dir.path, 'main.ini');
    const warned = async (text: string) => {
      await writeFile(file, text.replace('DIR', dir.path));
      const { warnings } = await loadConfig([file], { KEY: long });
      return warnings.filter(warning => warning.includes('ACME clients'));
    };
    const [warning = '', ...more] = await warned(blocks + acme);
    assert.match(warning, /main\.ini:5: \[auth "keyed"\] hmac_key: has 31 bytes, and some ACME clients/);
    assert.deepEqual(more, []);
    assert.deepEqual(await warned(blocks), []);
  });
});
