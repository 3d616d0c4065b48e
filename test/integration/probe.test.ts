import assert from 'node:assert/strict';
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { newBindKey, startBind } from '../support/bind.ts';
import { callQuarryWith } from '../support/call-quarry.ts';
import { startFleet } from '../support/fleet.ts';
import { freePort, freePorts } from '../support/free-port.ts';
import { toldLines } from '../support/run-quarry.ts';
import { tempDir } from '../support/temp-dir.ts';

const dir = await tempDir();
after(() => dir[Symbol.asyncDispose]());
const fleet = await startFleet({ roles: ['worker', 'responder'] });
after(() => fleet[Symbol.asyncDispose]());
const listener = new URL(fleet.all('responder')[0]?.url ?? '').host;

const keys = { right: newBindKey('acme'), wrong: newBindKey('acme') };
const key = (which: keyof typeof keys) => `tsig-name = acme\ntsig-secret = ${keys[which].secret}`;
const bind = await startBind({
  zones: [{ name: 'example.org', policy: ['grant acme name _acme-challenge.example.org. TXT'] }],
  keys: [keys.right],
});
after(() => bind[Symbol.asyncDispose]());

async function script(name: string, text: string): Promise<string> {
  const path = join(dir.path, name);
  await writeFile(path, `#!/bin/sh\n${text}\n`);
  await chmod(path, 0o700);
  return path;
}

/** Each verification with an auth block of its own, and no other. */
async function probe(
  verifications: Record<string, string>,
  more: { domains?: string; redisUrl?: string } = {},
) {
  const { domains = 'domain = *.example.org', ...options } = more;
  const blocks = Object.entries(verifications).map(
    ([name, text]) =>
      `[verification "${name}"]\n${text}\n[auth "${name}"]\nall = yes\n${domains}\nverification = ${name}\n`,
  );
  const ini = (await fleet.ini({ ...options, blocks: blocks.join('') })).replace(
    /\[verification "http"\][^[]*/,
    '',
  );
  await fleet.allow(ini);
  const ended = await callQuarryWith(ini, ['check', '--probe', 'main.ini']);
  const [, lines = ''] = ended.stdout.split('configuration is good\n');
  return { code: ended.code, lines: lines.split('\n').filter(line => line !== ''), told: toldLines(ended) };
}

const http = (...listeners: string[]) =>
  `type = http01\nself-check = off\n${listeners.map(one => `listener = ${one}`).join('\n')}`;
const challtestsrv = (url: string) => `type = dns01-challtestsrv\nset-txt_url = ${url}/set-txt`;

test('quarry check --probe tries each verification, says what it saw, and leaves nothing behind', async () => {
  const add = await script('add', `cat >${dir.path}/in; env >${dir.path}/env; : >${dir.path}/added`);
  const remove = await script('remove', `rm ${dir.path}/added`);
  const { code, lines, told } = await probe({
    http: http(listener),
    test: challtestsrv(fleet.pebble.challtestsrvUrl),
    dns: `type = dns01-dnsUpdate\ndns-server = ${bind.address}\npropagation-server = ${bind.address}\n${key('right')}`,
    script: `type = program\nchallenge = dns-01\ncommand = ${add}\ncleanup-command = ${remove}`,
  });
  assert.deepEqual(told, []);
  assert.equal(code, 0);
  assert.deepEqual(lines, [
    `[verification "http"] http01: ${listener} answered with the test response`,
    '[verification "test"] dns01-challtestsrv: a test record _acme-challenge.example.org was set and cleared',
    '[verification "dns"] dns01-dnsUpdate: a test record _acme-challenge.example.org was added, seen and removed',
    '[verification "script"] program: ran with a test token for *.example.org, and cleaned up',
  ]);
  assert.match(await readFile(join(dir.path, 'in'), 'utf8'), /^([\w-]{43})\n\1\.[\w-]{43}\n$/);
  assert.match(
    await readFile(join(dir.path, 'env'), 'utf8'),
    /^QUARRY_DNS_NAME=_acme-challenge\.example\.org$/m,
  );
  assert.equal((await readdir(dir.path)).includes('added'), false);
  assert.deepEqual(await bind.dig('_acme-challenge.example.org', 'TXT'), []);
  assert.deepEqual(await fleet.redisClient.keys('{quarry}:http-01:*'), []);
});

test('quarry check --probe asks the responders as name servers and for TLS-ALPN handshakes', async () => {
  const [tlsPort, dnsPort, nobody] = (await freePorts(3)) as [number, number, number];
  const tls = (port: number) => `type = tlsalpn01\nlistener = 127.0.0.1:${port}`;
  const dns = (port: number) =>
    `type = dns01-server\nlistener = 127.0.0.1:${port}\nzone = example.org\nns = ns.example.net`;
  const blocks = `[verification "tls"]\n${tls(tlsPort)}\n[verification "dns"]\n${dns(dnsPort)}\n`;
  await using _responder = await fleet.start('responder', {
    // Without a verification it would listen on 1380, too.
    blocks: `${blocks}[auth "all"]\nall = yes\ndomain = *\nverification = tls\n`,
  });
  const good = await probe({ tls: tls(tlsPort), dns: dns(dnsPort) });
  assert.deepEqual(good.lines, [
    `[verification "tls"] tlsalpn01: 127.0.0.1:${tlsPort} answered with the test response`,
    `[verification "dns"] dns01-server: 127.0.0.1:${dnsPort} answered with the test response`,
  ]);
  assert.equal(good.code, 0);

  const bad = await probe({
    tls: tls(nobody),
    dns: dns(nobody),
    other: tls(Number(new URL(fleet.pebble.directoryUrl).port)),
  });
  assert.equal(bad.code, 1);
  assert.match(
    bad.lines[0] ?? '',
    new RegExp(`tlsalpn01: FAILED: 127.0.0.1:${nobody} is not listened on: does a responder run`),
  );
  assert.match(
    bad.lines[1] ?? '',
    new RegExp(`dns01-server: FAILED: 127.0.0.1:${nobody} is not listened on: does a responder run`),
  );
  assert.match(bad.lines[2] ?? '', /tlsalpn01: FAILED: \S+ /);
});

test('quarry check --probe ends with 1 and says what is wrong with each that failed', async () => {
  const port = await freePort();
  const fail = await script('fail', 'echo "the API is down" >&2; exit 7');
  const { code, lines, told } = await probe({
    good: http(listener),
    away: http(`127.0.0.1:${port}`),
    other: http(new URL(fleet.pebble.challtestsrvUrl).host),
    test: challtestsrv(`http://127.0.0.1:${port}`),
    dns: `type = dns01-dnsUpdate\ndns-server = ${bind.address}\n${key('wrong')}`,
    script: `type = program\nchallenge = http-01\ncommand = ${fail}`,
    tidy: `type = program\nchallenge = http-01\ncommand = ${await script('true', '')}\ncleanup-command = ${fail}`,
    persist: `type = dns-persist-01\ndraft = 01\nresolver = ${fleet.pebble.dnsServer}`,
  });
  assert.equal(code, 1);
  assert.deepEqual(told, ['quarry: 7 of 8 verifications failed']);
  const rest = lines.slice(1);
  for (const [index, pattern] of [
    new RegExp(
      `"away"\\] http01: FAILED: 127\\.0\\.0\\.1:${port} is not listened on: does a responder run\\?$`,
    ),
    /"other"\] http01: FAILED: \S+ answers, but does not know the test token: another Redis, or no responder$/,
    /"test"\] dns01-challtestsrv: FAILED: challtestsrv at \S+: .*ECONNREFUSED/,
    /"dns"\] dns01-dnsUpdate: FAILED: DNS server \S+: .*(BADSIG|signature|key)/,
    /"script"\] program: FAILED: .* ended with exit code 7: the API is down$/,
    /"tidy"\] program: FAILED: cleanup-command failed: ended with exit code 7: the API is down$/,
    /"persist"\] dns-persist-01: FAILED: _validation-persist\.example\.org TXT: there is no such record; publish "pebble/,
  ].entries())
    assert.match(rest[index] ?? '', pattern);
});

test('quarry check --probe says that Redis is away, in the lines of those that need it', async () => {
  const socket = join(dir.path, 'redis.sock');
  const { code, lines } = await probe(
    {
      http: http(listener),
      script: `type = program\nchallenge = http-01\ncommand = ${await script('true', '')}`,
    },
    { redisUrl: `unix:${socket}` },
  );
  assert.equal(code, 1);
  assert.deepEqual(lines, [
    `[verification "http"] http01: FAILED: Redis at unix:${socket} cannot be reached; does quarry run?`,
    '[verification "script"] program: ran with a test token for quarry-probe.example.org',
  ]);
});

test('quarry check --probe says where there is no name to try with', async () => {
  const run = await script('never', `: >${dir.path}/ran`);
  const { code, lines } = await probe(
    { script: `type = program\nchallenge = http-01\ncommand = ${run}` },
    { domains: 'domain = *' },
  );
  assert.equal(code, 0);
  assert.deepEqual(lines, [
    '[verification "script"] program: not tried, as no auth block writes out a name to try it with',
  ]);
  assert.equal((await readdir(dir.path)).includes('ran'), false);
});
