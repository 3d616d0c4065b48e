import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { check } from '../../../services/cli/check.ts';
import { macenReadme } from '../../shared/setup/macen-readme.ts';
import { freePort } from '../../support/free-port.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { tlsAuthority } from '../../support/tls-authority.ts';

async function checkText(text: string, env: Record<string, string> = {}): Promise<string> {
  await using dir = await tempDir();
  const file = join(dir.path, 'main.ini');
  await writeFile(file, text);
  let output = '';
  await check([file], env, written => {
    output += written;
  });
  return output.replaceAll(`${dir.path}/`, '');
}

test("check() prints what each auth block of macen's README allows", async () => {
  assert.equal(
    await checkText(macenReadme),
    `warning: main.ini:4: [account] accept-terms-of-service: what follows the # or ; is ignored; a comment needs a line of its own
warning: [auth "mail-secure"]: 192.0.2.13:1313 is neither loopback nor TLS: whoever is on the way can send a request again; hmac = v2 prevents it, and so do [mgmt] tls-cert and tls-key

account: https://acme-staging-v02.api.letsencrypt.org/directory, in /etc/macen/account/, terms accepted, 0 contacts
listeners:
  mgmt                 192.0.2.13:1313
  verification "http"  192.0.2.80:1380, 198.51.100.80:1380, [fe80::80%eth0]:1380
  admin                127.0.0.1:9313
CSRs: 4000 bytes at most

block        methods                                names                                solver                 storage
-----------  -------------------------------------  -----------------------------------  ---------------------  -----------
mail         ip 192.0.2.0/24, ip 198.51.100.21      mail.example.org, mail.example.com   http (http01)          file (file)
ext          ip 198.51.100.128/28                   *.test.example.org                   http (http01)          file (file)
mail-secure  ip 198.51.100.21, hmac sha256 (1 key)  mail?.example.org, mail.example.com  dns (dns01-dnsUpdate)  file (file)

configuration is good
`,
  );
});

const start = '[account]\ndir = /a\n';

test('check() continues long cells in the next rows and cuts nothing', async () => {
  const globs = Array.from({ length: 9 }, (_, index) => `www${index}.a-rather-long-name.example.org`);
  const long = `${'very-'.repeat(12)}long.example.org`;
  const output = await checkText(
    `${start}[auth a]\nall = yes\n${[...globs, long].map(one => `domain = ${one}\n`).join('')}`,
  );
  for (const glob of globs.concat(long)) assert.ok(output.includes(glob), glob);
  assert.match(output, /^a {6}all {6}www0/m);
  assert.match(output, /^ {16}www1/m);
});

test('check() shows how a value was asked for, and not what came in from outside', async () => {
  const env = {
    CA: 'https://s3cret.example.org/dir',
    NAME: 's3cret',
    HOOK: 'https://chat.example.org/s3cret',
  };
  const output = await checkText(
    `${start}acme-server = \${env:CA}\n[auth a]\nall = yes\ndomain = *.\${env:NAME}.example.org
[notify n]\nurl = \${env:HOOK}\n`,
    env,
  );
  assert.doesNotMatch(output, /s3cret/);
  assert.match(output, /^account: \$\{env:CA\}, in/m);
  assert.match(output, /\*\.\$\{env:NAME\}\.example\.org/);
});

test('check() warns of a block that is never reached and of one that matches nothing', async () => {
  const output = await checkText(
    `${start}[auth wide]\nall = yes\ndomain = *\n[auth "narrow"]\nip = 192.0.2.1\ndomain = a.example\n[auth none]\nall = yes\n`,
  );
  assert.match(
    output,
    /^warning: \[auth "narrow"\]: is never reached: \[auth "wide"\] before it accepts all/m,
  );
  assert.match(output, /^warning: main\.ini:\d+: \[auth "none"\]: has neither domain nor address/m);
  assert.match(output, /^none .*matches nothing/m);
});

test('check() says what is not known yet of a record that has to be published', async () => {
  const persist = '[verification p]\ntype = dns-persist-01\ndraft = 01\n';
  const names = '[auth a]\nall = yes\ndomain = A.example\ndomain = b?.example\n';
  const ca = `[account]\nacme-server = https://127.0.0.1:${await freePort()}/dir\ndir = /nowhere\n`;
  const output = await checkText(`${ca}${persist}${names}`);
  assert.match(output, /^ {2}_validation-persist\.a\.example TXT "ISSUER; accounturi=ACCOUNT"$/m);
  assert.match(
    output,
    /^ {2}_validation-persist\.NAME TXT "ISSUER; accounturi=ACCOUNT", for each NAME of b\?\.example$/m,
  );
  assert.match(output, /^ {2}ACCOUNT: \/nowhere holds no account yet; a worker makes it$/m);
  assert.match(output, /^ {2}ISSUER: not known \(.*ECONNREFUSED.*\); the option issuer names it$/m);
  const named = await checkText(`${ca}${persist}issuer = ca.example\n${names}`);
  assert.match(named, /TXT "ca\.example; accounturi=ACCOUNT"$/m);
});

test('check() prints every account, and from which of them each block orders', async () => {
  const other =
    '[account "other"]\nacme-server = https://ca.example/dir\ndir = /b\naccept-terms-of-service = yes\n';
  const both = '[auth a]\nall = yes\ndomain = *\naccount = other, default\n';
  const renewal = '[renewal "web"]\nshaman-profile = /srv/web\naccount = other\n';
  const output = await checkText(`${start}${other}contact = a@b.example\nkeys = any\n${both}${renewal}`);
  const staging = 'https://acme-staging-v02.api.letsencrypt.org/directory';
  assert.ok(output.includes(`\naccount "default": ${staging}, in /a, terms not accepted, 0 contacts\n`));
  assert.match(
    output,
    /^account "other": https:\/\/ca\.example\/dir, in \/b, terms accepted, 1 contact, any keys$/m,
  );
  assert.match(output, /^renewal "web": \/srv\/web, twice a day, from other, without/m);
  assert.match(output, /^block .* {2}accounts$/m);
  assert.match(output, /^a .* {2}other, default$/m);
});

test('check() prints the records of each account that proves names by them', async () => {
  const accounts = `${start}[account "b"]\ndir = /b\n[account "c"]\ndir = /c\n`;
  const persist = '[verification p]\ntype = dns-persist-01\ndraft = 01\nissuer = ca.example\n';
  const blocks =
    '[auth x]\nall = yes\ndomain = x.example\n[auth y]\nall = yes\ndomain = y.example\naccount = default, b\n';
  const output = await checkText(accounts + persist + blocks);
  const recordsOf = (account: string) =>
    output
      .split(`verification "p" and account "${account}":\n`)[1]
      ?.split('\n\n')[0]
      ?.match(/[xy]\.example/g);
  assert.deepEqual(['default', 'b', 'c'].map(recordsOf), [
    ['x.example', 'y.example'],
    ['y.example'],
    undefined,
  ]);
});

test('check() prints no secret', async () => {
  const eab = '[account]\ndir = /a\neab-kid = k\neab-hmac-key = s3cret\n';
  const hmac = '[auth a]\nhmac_type = sha256\nhmac_key = s3cret\nhmac_key = s3cret2\ndomain = *\n';
  const output = await checkText(`${eab}[redis]\nurl = redis://:s3cret@redis\n${hmac}`);
  assert.doesNotMatch(output, /s3cret/);
  assert.match(output, /hmac sha256 \(2 keys\)/);
});

test('check() says where Redis is, without a login, and that changed files are taken over', async () => {
  const open = '[auth a]\nall = yes\ndomain = *\n';
  const sentinels = 'sentinel = one.example:26379\nsentinel = two.example:26379\nsentinel-master = quarry\n';
  const behind = await checkText(`${start}[mgmt]\nreload = watch\n[redis]\n${sentinels}${open}`);
  assert.match(behind, /^Redis: quarry of the Sentinels one\.example:26379, two\.example:26379$/m);
  assert.match(behind, /^changes of these files: taken over by themselves$/m);
  const alone = await checkText(`${start}[redis]\nurl = redis://me:s3cret@redis.example:6380\n${open}`);
  assert.match(alone, /^Redis: redis\.example:6380$/m);
  assert.doesNotMatch(await checkText(start + open), /Redis|changes of/);
});

test('check() says which blocks demand HMACs of version 2', async () => {
  const hmac = '[auth a]\nhmac_type = sha256\nhmac_key = A1YP67armNf3cBrecyJHdb035\nhmac = v2\ndomain = *\n';
  assert.match(await checkText(start + hmac), /^a {6}hmac2 sha256 \(1 key\) /m);
});

test('check() says what the clients of a block have to prove', async () => {
  const web = '[auth "web"]\nall = yes\ndomain = *.example.org\n';
  const proof = 'client-proof = address, dns-01\nclient-proof-network = 10.0.0.0/8\n';
  const output = await checkText(start + web + proof);
  assert.match(output, /^block .* names +client proof +solver/m);
  assert.match(output, /^web .* {2}address, dns-01, network 10\.0\.0\.0\/8 {2}/m);
  assert.doesNotMatch(await checkText(start + web), /client proof/);
});

test('check() says how each block is bounded, and what of the accounts it may use', async () => {
  const bounds = 'slots = 4\nqueue-max = 100\nrate = 60/min\nblock-rate = 600 / 120s\nshare = 12.5%\n';
  const web = `[auth "web"]\nall = yes\ndomain = *.example.org\n${bounds}`;
  const output = await checkText(`${start}${web}[auth "rest"]\nall = yes\ndomain = *.example.com\n`);
  assert.match(output, /^block .* storage +bounds$/m);
  assert.match(output, /^web .* {2}share 12\.5%, slots 4, queue-max 100,$/m);
  assert.match(output, /^ {20,}rate 60\/min, block-rate 600\/2min$/m);
  assert.match(output, /^rest .* {2}87\.5% that the shares leave$/m);
  const slots = `${start}[auth "web"]\nall = yes\ndomain = *\nslots = 4\n`;
  assert.match(await checkText(slots), /^web .* {2}slots 4$/m);
  assert.doesNotMatch(await checkText(slots.replace('slots = 4\n', '')), /bounds/);
});

test('check() warns of slots that bound nothing on one worker', async () => {
  const warnings = async (concurrency: string, slots: number) => {
    const block = `[auth "web"]\nall = yes\ndomain = *\nslots = ${slots}\n`;
    return (await checkText(start + concurrency + block)).split('\n').filter(line => /^warning/.test(line));
  };
  const warning = (slots: number, concurrency: number) =>
    `warning: [auth "web"]: slots = ${slots} bounds nothing where one worker runs, as [worker] concurrency is ${concurrency}`;
  assert.deepEqual(await warnings('[worker]\nconcurrency = 8\n', 8), [warning(8, 8)]);
  assert.deepEqual(await warnings('', 65), [warning(65, 64)]);
  assert.deepEqual(await warnings('[worker]\nconcurrency = 8\n', 7), []);
  assert.deepEqual(await warnings('', 63), []);
});

test('check() says where the trail goes, and for how long', async () => {
  const block = '[auth a]\nall = yes\ndomain = *\n';
  const trailOf = async (lines: string) =>
    (await checkText(`${start}${block}[trail]\n${lines}`)).match(/^trail: .*$/m)?.[0];
  assert.equal(await trailOf(''), undefined);
  assert.equal(
    await trailOf('dir = /t\n'),
    'trail: sealed into /t, kept for 400 days, signed by /a/trail.key',
  );
  assert.equal(
    await trailOf('dir = /t\nkeep = 90\nkey-file = /k/t.key\nsyslog = tls://[2001:db8::1]\n'),
    'trail: sealed into /t, kept for 90 days, signed by /k/t.key; sent to tls://[2001:db8::1]:6514',
  );
  assert.equal(await trailOf('syslog = unix:/dev/log\n'), 'trail: sent to unix:/dev/log');
});

test('check() says which blocks know their clients by certificates and tokens, and what is for these alone', async () => {
  const { caFile } = await tlsAuthority();
  const mgmt = `[mgmt]\ntrusted-proxy = 127.0.0.1\nclient-ca = ${caFile}\n`;
  const hosts = '[auth "hosts"]\nclient-cert = *.example.org\ndomain = {client}\naddress = {client}\n';
  const output = await checkText(
    `${start}${mgmt}${hosts}[auth "new"]\ntoken = yes\ndomain = *.example.org\n`,
  );
  assert.match(output, /^hosts +client-cert \*\.example\.org +\{client\}, address \{client\} /m);
  assert.match(output, /^new +token +\*\.example\.org /m);
  assert.doesNotMatch(output, /never reached|matches no CSR/);
});

test('check() passes on why a configuration cannot be used', async () => {
  await assert.rejects(checkText('[auth a]\nall = yes\n'), { name: 'ConfigError' });
});

test('check() prints who is told of what, without the token in a URL', async () => {
  const output = await checkText(
    `${start}[auth a]\nall = yes\ndomain = *\n[notify "chat"]\nurl = https://chat.example/t0ken\nhmac_key = k3y\non = account-paused\n[notify "post"]\nmail = ops@example.org\nfrom = q@example.org\nsmtp = smtps://mx.example.org\n`,
  );
  assert.match(output, /^notify "chat": signed posts to chat\.example, of account-paused$/m);
  assert.match(
    output,
    /^notify "post": mail to ops@example\.org over mx\.example\.org:465, of every event$/m,
  );
  assert.doesNotMatch(output, /t0ken|k3y/);
});

test('check() tells what is renewed, and when', async () => {
  const output = await checkText(
    `${start}[storage "disk"]\ntype = file\ndirectory = /s\nrenew-ahead = yes\n[auth a]\nall = yes\ndomain = *.example.org
[renewal "web"]\nshaman-profile = /srv/web\n[renewal "mail"]\nshaman-profile = /srv/mail\nschedule = 30 4 * * *\n`,
  );
  assert.match(output, /^renewal "web": \/srv\/web, twice a day, without authenticators by http01$/m);
  assert.match(
    output,
    /^renewal "mail": \/srv\/mail, at 30 4 \* \* \* UTC, without authenticators by http01$/m,
  );
  assert.match(output, / {2}disk \(file, renewed ahead\)$/m);
  const missing = 'cannot be read: no such file or directory: make it, or correct the path';
  assert.match(output, new RegExp(`^warning: \\[renewal "web"\\]: /srv/web/shaman\\.json: ${missing}$`, 'm'));
});

test('check() prints the proxy of an account, without its password', async () => {
  const output = await checkText(
    `${start}proxy = http://u:s3cret@proxy.example:3128\n[auth a]\nall = yes\ndomain = *\n`,
  );
  assert.match(output, /^account: .*, 0 contacts, proxy proxy\.example:3128$/m);
  assert.doesNotMatch(output, /s3cret/);
});

/** Of which it is known what it allows. */
const letsEncrypt = '[account]\ndir = a\nacme-server = https://acme-v02.api.letsencrypt.org/directory\n';

/** What check() warns of blocks that may use up a registered domain for each other. */
async function undividedBetween(blocks: Record<string, string>, accounts = letsEncrypt) {
  const auth = Object.entries(blocks).map(([name, lines]) => `[auth "${name}"]\nall = yes\n${lines}\n`);
  const output = await checkText(accounts + auth.join(''));
  return output.split('\n').filter(line => line.includes('can use up'));
}

test('check() warns of blocks that can use up a registered domain for each other, of which none has a share', async () => {
  const between = (names: string, domains: string) =>
    `warning: ${names}: each of them can use up what the CA allows for ${domains}, as none has a share`;
  const [web, mail] = ['domain = *.example.org', 'domain = mail.example.org\ndomain = *.example.com'];
  assert.deepEqual(await undividedBetween({ web, mail }), [
    between('[auth "web"], [auth "mail"]', 'example.org'),
  ]);
  assert.deepEqual(await undividedBetween({ web, mail, all: 'domain = *' }), [
    between('[auth "web"], [auth "mail"], [auth "all"]', 'example.org'),
    between('[auth "mail"], [auth "all"]', 'example.com'),
  ]);
  assert.deepEqual(await undividedBetween({ a: 'domain = *', b: 'domain = *', web }), [
    between('[auth "a"], [auth "b"]', 'any domain'),
    between('[auth "a"], [auth "b"], [auth "web"]', 'example.org'),
  ]);
  assert.deepEqual(await undividedBetween({ a: 'domain = *.co.uk', b: 'domain = *.co.uk' }), [
    between('[auth "a"], [auth "b"]', 'any domain of co.uk'),
  ]);
  assert.deepEqual(await undividedBetween({ a: 'domain = *example.org', b: 'domain = ?xample.org' }), [
    between('[auth "a"], [auth "b"]', 'example.org'),
  ]);
  const many = ['a', 'b', 'c', 'd', 'e'].map(name => `domain = *.${name}.example`).join('\n');
  assert.deepEqual(await undividedBetween({ one: many, two: many }), [
    between('[auth "one"], [auth "two"]', 'a.example, b.example, c.example and 2 more'),
  ]);
});

test('check() does not warn of what cannot be used up so, or is divided, or is not counted', async () => {
  const web = 'domain = *.example.org';
  const accounts = `${letsEncrypt}[account "second"]\ndir = b\nacme-server = https://ca.example/dir
[limits "second"]\ncertificates-per-domain = 9/1d\n`;
  const testCa = '[account]\ndir = a\nacme-server = https://ca.example/dir\n';
  for (const [blocks, of] of [
    [{ web, mail: 'domain = *.example.com' }],
    [{ web, mail: 'domain = badexample.org' }],
    [{ a: 'domain = a.co.uk', b: 'domain = b.co.uk' }],
    [{ web, mail: `${web}\nshare = 10%` }],
    [{ web: `${web}\naccount = default`, mail: `${web}\naccount = second` }, accounts],
    [{ web, mail: web }, testCa],
  ] as const)
    assert.deepEqual(await undividedBetween(blocks, of), [], JSON.stringify(blocks));
  const counted = `${testCa}[limits]\ncertificates-per-domain = 9/1d\n`;
  assert.equal((await undividedBetween({ web, mail: web }, counted)).length, 1);
});
