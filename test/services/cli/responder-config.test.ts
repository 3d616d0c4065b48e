import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { toResponderConfig } from '../../../services/cli/responder-config.ts';
import { loadConfig } from '../../../shared/setup/load-config.ts';
import { tempDir } from '../../support/temp-dir.ts';

const secret = Buffer.alloc(32, 'S').toString('base64');
const full = `[account]
dir = /secret/account
eab-kid = kid
eab-hmac-key = ${Buffer.from(secret).toString('base64url')}
[mgmt]
listener = 192.0.2.1:1313
trusted-proxy = 10.0.0.0/8
trusted-proxy = 192.168.0.0/16
[verification "web"]
type = http01
listener = 0.0.0.0:1380
self-check-proxy = http://user:${secret}@proxy:3128
[verification "names"]
type = dns01-server
listener = 0.0.0.0:53
zone = acme.example.org
ns = ns.example.net
[verification "update"]
type = rfc2136
dns-server = 192.0.2.53
tsig-name = acme
tsig-secret = ${secret}
[verification "hook"]
type = program
challenge = dns-01
command = /bin/${secret}
[redis]
url = redis://quarry:${secret}@redis:6379/3
prefix = {ours}
user-responder = reader
password-file-responder = /run/password
user-worker = doer
password-file-worker = /run/${secret}
[logging]
level = debug
[auth "all"]
hmac_type = sha256
hmac_key = ${secret}
domain = *.example.org
verification = web
`;

async function convert(
  text: string,
  env: Record<string, string> = {},
): Promise<{ printed: string; dir: AsyncDisposable & { path: string } }> {
  const dir = await tempDir();
  const file = join(dir.path, 'main.ini');
  await writeFile(file, text);
  return { printed: await toResponderConfig([file], env), dir };
}

test('quarry check --for responder prints what a responder needs, and none of the secrets', async () => {
  const { printed, dir } = await convert(full);
  await using _ = dir;
  assert.ok(!printed.includes(secret.slice(0, 20)) && !printed.includes('/secret/'), printed);
  const file = join(dir.path, 'responder.ini');
  await writeFile(file, printed);
  const [all, part] = [
    await loadConfig([join(dir.path, 'main.ini')], {}),
    await loadConfig([file], {}, 'responder'),
  ];
  for (const name of ['web', 'names']) {
    const answers = (config: typeof all) => {
      const { type, listeners, zones, nameServers } = config.verifications.get(name) as never;
      return { type, listeners, zones, nameServers };
    };
    assert.deepEqual(answers(part), answers(all));
  }
  assert.deepEqual([...part.verifications.keys()], ['web', 'names']);
  assert.deepEqual(part.mgmt.trustedProxies, all.mgmt.trustedProxies);
  assert.equal(part.redis.url, 'redis://redis:6379/3');
  assert.deepEqual(part.redis.users, { responder: all.redis.users?.responder });
  assert.deepEqual([part.redis.prefix, part.logging.level], ['{ours}', 'debug']);
  assert.deepEqual([part.accounts.size, part.auth.length], [0, 0]);
});

test('quarry check --for responder writes down the verification that goes without saying', async () => {
  const { printed, dir } = await convert('[account]\ndir = /a\n[auth "all"]\nall = yes\ndomain = *\n');
  await using _ = dir;
  const [, ...lines] = printed.trimEnd().split('\n');
  assert.deepEqual(lines, [
    '',
    '[verification "http01"]',
    'type = http01',
    'listener = 0.0.0.0:1380',
    'listener = [::]:1380',
  ]);
});

test('quarry check --for responder only names what comes from the environment or is a credential', async () => {
  const env = {
    PASSWORD: secret,
    REDIS: 'redis.example.org',
    SCHEME: 'redis',
    ALL: `redis://me:${encodeURIComponent(secret)}@r`,
  };
  const url = (written: string) =>
    `[account]\ndir = /a\n[auth "all"]\nall = yes\ndomain = *\n[redis]\nurl = ${written}\n`;
  for (const [written, shown] of [
    [`redis://me:\${env:PASSWORD}@\${env:REDIS}:6379/3`, `redis://\${env:REDIS}:6379/3`],
    [`\${env:SCHEME}://me:${secret.slice(0, 10)}@\${env:REDIS}`, `\${env:SCHEME}://\${env:REDIS}`],
    [`redis://\${env:REDIS}`, `redis://\${env:REDIS}`],
    [`\${env:ALL}`, `\${env:ALL}`],
  ] as const) {
    const { printed, dir } = await convert(url(written), { ...env, PASSWORD: 'S3cretS3cret' });
    await using _ = dir;
    assert.ok(printed.includes(`url = ${shown}\n`), printed);
  }
});

test('quarry check --for responder names the credential of a password, and leaves out a password', async () => {
  const text = (password: string) =>
    `[account]\ndir = /a\n[auth "all"]\nall = yes\ndomain = *\n[redis]\nurl = redis://r\nuser-responder = r
password-responder = ${password}\npassword = ${password}\n`;
  for (const [password, isShown] of [
    [`\${env:PASSWORD}`, true],
    [secret.slice(0, 20), false],
    [`${secret.slice(0, 20)}\${env:PASSWORD}`, false],
  ] as const) {
    const { printed, dir } = await convert(text(password), { PASSWORD: 'S3cretS3cret' });
    await using _ = dir;
    assert.equal(
      printed.includes(`password-responder = ${password}\npassword = ${password}\n`),
      isShown,
      printed,
    );
    assert.ok(isShown || !printed.includes('password'), printed);
  }
});

test('only a responder does without accounts and auth blocks', async () => {
  const { printed, dir } = await convert(full);
  await using _ = dir;
  const file = join(dir.path, 'responder.ini');
  await writeFile(file, printed);
  await assert.rejects(loadConfig([file], {}), /\[account\]: is missing/);
});
