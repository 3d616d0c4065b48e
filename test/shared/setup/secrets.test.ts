import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import type { Environment } from '../../../shared/config/environment.ts';
import type { SecretFile } from '../../../shared/config/reading.ts';
import { readSources } from '../../support/read-sources.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { account, auth, loadText, refusal } from './load-text.ts';

const dir = await tempDir();
after(() => dir[Symbol.asyncDispose]());
const base64 = Buffer.alloc(32, 'S3cret').toString('base64url');

/** Puts a secret into a file and into a credential, as which it is named. */
async function keep(name: string, secret: string): Promise<{ file: string; env: Environment }> {
  const file = join(dir.path, name);
  await mkdir(dir.path, { recursive: true });
  await writeFile(file, `${secret}\n`);
  return { file, env: { CREDENTIALS_DIRECTORY: dir.path, SECRET: secret } };
}

const other = account + auth;
const hook = `${other}[notify "hook"]\n`;
const mail = `${other}[notify "mail"]\nmail = a@example.org\nfrom = q@example.org\nsmtp = smtps://mx\nsmtp-user = q\n`;
const hmac = `${account}[auth "a"]\nhmac_type = sha256\ndomain = a.example.org\n`;

/** Every option that may hold a secret: what stands beside it, a value, and the option of its file. */
const options: Record<string, [text: string, value: string, fileOption: string]> = {
  hmac_key: [hmac, 'a key of many words', 'hmac_key_file'],
  'eab-hmac-key': [`${auth}[account]\ndir = /a\neab-kid = kid\n`, base64, 'eab-hmac-key-file'],
  proxy: [`${auth}[account]\ndir = /a\n`, 'http://user:S3cret@proxy.example.org:3128', 'proxy-file'],
  url: [hook, 'https://hooks.example.org/T0123/S3cret', 'url-file'],
  'notify hmac_key': [`${hook}url = https://hooks.example.org/\n`, 'a key of many words', 'hmac_key_file'],
  'smtp-password': [mail, 'a pass word', 'smtp-password-file'],
  'redis url': [`${other}[redis]\n`, 'redis://me:S3cret@redis.example.org/3', 'url-file'],
  'redis password': [`${other}[redis]\nurl = redis://r\n`, 'S3cret', 'password-file'],
  'password-worker': [
    `${other}[redis]\nurl = redis://r\nuser-worker = w\n`,
    'S3cret',
    'password-file-worker',
  ],
  'sentinel-password': [`${other}[redis]\nsentinel = s:1\n`, 'S3cret', 'sentinel-password-file'],
  'tsig-secret': [`${other}[verification "u"]\ntype = rfc2136\ntsig-name = k\n`, base64, 'tsig-secret-file'],
  'self-check-proxy': [
    `${other}[verification "h"]\ntype = http01\n`,
    'http://user:S3cret@proxy.example.org:3128',
    'self-check-proxy-file',
  ],
};

for (const [name, [text, value, fileOption]] of Object.entries(options)) {
  const option = name.replace(/^.* /, '');
  const namesOf = (files: readonly SecretFile[]) =>
    files
      .filter(({ place }) => [option, fileOption].includes(place.option ?? ''))
      .map(({ file, place }) => `${basename(file)} ${place.option}`);

  test(`${name} comes from a file, a credential or the environment as if it were written`, async () => {
    const { file, env } = await keep('secret', value);
    const { hidden, secretFiles, ...written } = await loadText(`${text}${option} = ${value}\n`);
    for (const line of [`${option} = \${credential:secret}`, `${option} = \${env:SECRET}`]) {
      const { hidden, secretFiles, ...loaded } = await loadText(`${text}${line}\n`, env);
      assert.deepEqual(loaded, written, line);
      assert.deepEqual(namesOf(secretFiles), [], 'no file of the configuration holds it');
      assert.equal(hidden.at(-1)?.value, value);
    }
    const { hidden: _, secretFiles: files, ...loaded } = await loadText(`${text}${fileOption} = ${file}\n`);
    const readLater = JSON.stringify([loaded.notify, loaded.redis]).includes(file);
    if (!readLater) assert.deepEqual(loaded, written);
    assert.deepEqual(namesOf(files), [`secret ${fileOption}`]);
    assert.deepEqual(namesOf(secretFiles), [`main.ini ${option}`], 'the file that it is written in holds it');
  });

  if (/^(sentinel-)?password/.test(option)) continue; // its file is read at each connection
  test(`${fileOption} of ${name} is refused in one line where it cannot be used`, async () => {
    const said = (path: string) => refusal(`${text}${fileOption} = ${path}\n`);
    assert.match(
      await said(join(dir.path, 'nowhere')),
      /nowhere cannot be read: no such file or directory: make it, or correct the path$/,
    );
    assert.match(
      await said('/dev/null'),
      new RegExp(`main\\.ini:\\d+: \\[.*\\] ${fileOption}: /dev/null is empty$`),
    );
    assert.match(await said('/dev/zero'), /has more than 64 KB, which is no secret$/);
    assert.match(await said(dir.path), /cannot be read: illegal operation on a directory$/);
    const { file } = await keep('secret', value);
    if (name !== 'hmac_key')
      assert.match(
        await refusal(`${text}${option} = ${value}\n${fileOption} = ${file}\n`),
        new RegExp(`${fileOption}: has ${option} beside it$`),
      );
  });
}

test('hmac_key_file may be repeated, and stands in its place among the others', async () => {
  const [one, two] = [await keep('one', 'first key of all'), await keep('two', 'third key of all')];
  const text = `${hmac}hmac_key_file = ${one.file}\nhmac_key = second key of all\nhmac_key_file = ${two.file}\n`;
  const { auth: blocks } = await loadText(text);
  assert.deepEqual(blocks[0]?.hmac?.keys, ['first key of all', 'second key of all', 'third key of all']);
});

test('any option may be put together from what comes in, and no error or warning repeats it', async () => {
  const env = { NAME: 'www.s3cret.example.org', BAD: 's3cret.example/path', NET: '0.0.0.0/0' };
  const block = `${account}[auth "a"]\nip = 192.0.2.1\ndomain = *.\${env:NAME}\n`;
  const { auth: blocks, warnings } = await loadText(`${block}ip = \${env:NET}\n`, env);
  assert.deepEqual(blocks[0]?.domains, ['*.www.s3cret.example.org']);
  assert.deepEqual(warnings, [`main.ini:4: [auth "a"] ip: \${env:NET} admits every IPv4 client`]);
  assert.equal(
    await refusal(`${block}storage = \${env:BAD}\n`, env),
    `main.ini:6: [auth "a"] storage: no [storage "\${env:BAD}"] is defined; none is`,
  );
  const twice = `${other}[verification "z"]\ntype = dns01-server\nzone = \${env:NAME}\nns = ns.\${env:NAME}\n`;
  assert.match(await refusal(twice, env), /ns: ns\.\$\{env:NAME\} is inside the zone \$\{env:NAME\}/);
  const elsewhere = `[verification "p"]\ntype = http01\nlistener = \${env:BAD}\n`;
  assert.doesNotMatch(await refusal(other + elsewhere, env), /s3cret/);
});

test('[redis] takes the password of a user from a credential, of which a responder is told the name alone', async () => {
  const { env } = await keep('redis', 'S3cret');
  const text = `${other}[redis]\nurl = redis://r\nuser-responder = r\npassword-responder = \${credential:redis}\n`;
  const { redis } = await loadText(text, env);
  assert.deepEqual(redis.users?.responder, { name: 'r', password: { text: 'S3cret' } });
  assert.equal(
    await refusal(text.replace(`\${credential:redis}`, 'two words'), env),
    'main.ini:9: [redis] password-responder: is not one word',
  );
  assert.match(
    await refusal(`${text}password-file-responder = /x\n`, env),
    /password-file-responder: has password-responder beside it$/,
  );
});

test('what is absent is named with the option that asks for it', async () => {
  assert.match(
    await refusal(`${hmac}hmac_key = \${credential:gone}\n`, { CREDENTIALS_DIRECTORY: dir.path }),
    /^main\.ini:6: \[auth "a"\] hmac_key: needs the credential gone, which is not in \S+ nor in \/run\/secrets$/,
  );
});

test('an option that is called like a secret is read as one', () => {
  const asked = [...readSources('shared'), ...readSources('services')].flatMap(({ path, text }) =>
    [...text.matchAll(/section\.(?:one|many)\(\s*'([^']+)'/g)].map(([, option = '']) => `${path} ${option}`),
  );
  assert.ok(asked.length > 50, 'it finds the options');
  const called = asked.filter(one => / .*(secret|password|token|hmac|proxy$)/.test(one));
  // Each of these says how, or where, and is none.
  const harmless = /(hmac_type|hmac|auth-section\.ts token|tsig-algorithm|trusted-proxy|-file)$/;
  assert.deepEqual(
    called.filter(one => !harmless.test(one)),
    [],
  );
});
