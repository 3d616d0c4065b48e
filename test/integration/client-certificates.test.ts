import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { Redis as RedisClient } from 'ioredis';
import { openBlockedKeys } from '../../shared/limits/blocked-keys.ts';
import { readKeyDigest } from '../../shared/pki/public-key.ts';
import { ask } from '../support/ask.ts';
import { caExtensions, type Issued, issueCertificate, serverExtensions } from '../support/certificates.ts';
import { makeCsr } from '../support/csr.ts';
import { freePorts } from '../support/free-port.ts';
import { startNginx } from '../support/nginx.ts';
import { shownBlock } from '../support/pages.ts';
import { provision } from '../support/provision.ts';
import { startQuarry } from '../support/quarry.ts';
import { startRedis } from '../support/redis.ts';
import { tempDir } from '../support/temp-dir.ts';
import { tlsAuthority } from '../support/tls-authority.ts';
import { waitUntil } from '../support/wait-until.ts';

// An intake alone: what it admits is answered with 202, as no worker takes the job.

await using started = new AsyncDisposableStack();
const { curl, openssl } = await provision(['curl', 'openssl']);
const { path: dir } = started.use(await tempDir());
const server = await tlsAuthority();
const redis = started.use(await startRedis());

const root = await issueCertificate({ subject: '/CN=root', extensions: caExtensions });
const between = await issueCertificate({ subject: '/CN=between', issuer: root, extensions: caExtensions });
const host = (name: string, more: { until?: number; issuer?: Issued } = {}) =>
  issueCertificate({ issuer: between, extensions: serverExtensions(name), ...more });
const [web1, web2, old] = await Promise.all([
  host('web1.example.org'),
  host('web2.example.org'),
  host('web1.example.org', { until: -0.5 }),
]);
const stranger = await issueCertificate({ extensions: serverExtensions('web1.example.org') });

const caFile = join(dir, 'client-ca.pem');
await writeFile(caFile, root.pem + between.pem);

const [port, plainPort] = (await freePorts(2)) as [number, number];
const intakes = await Promise.all(
  [
    `listener = 127.0.0.1:${port}\ntls-cert = ${server.certFile}\ntls-key = ${server.keyFile}`,
    `listener = 127.0.0.1:${plainPort}\ntrusted-proxy = 127.0.0.1`,
  ].map(async mgmt =>
    started.use(
      await startQuarry(
        'intake',
        `[account]
dir = ${dir}
[mgmt]
${mgmt}
client-ca = ${caFile}
[auth "hosts"]
client-cert = *.example.org
domain = {client}
[auth "open"]
ip = 127.0.0.0/8
domain = open.example
[redis]
url = ${redis.url}
`,
      ),
    ),
  ),
);
const [intake] = intakes as [(typeof intakes)[0]];
const running = started.move();
after(() => running.disposeAsync());

const scripts = join(import.meta.dirname, '../../services/get');
const csrs = new Map<string, string>();
for (const name of ['web1.example.org', 'web2.example.org', 'open.example'])
  csrs.set(name, (await makeCsr({ names: [name] })).csrFile);
const csrOf = (name: string) => csrs.get(name) ?? '';

const run = (command: string, args: string[]) =>
  new Promise<string>(done => execFile(command, args, (_, out, err) => done(out + err)));

/** What curl gets for a CSR: the body, and the status in a line of its own. */
async function post(name: string, ...args: string[]): Promise<string> {
  const what = ['--data-binary', `@${csrOf(name)}`, '-H', 'Prefer: respond-async', '-H', 'Expect:'];
  const out = ['-sS', '-w', '%{http_code}', '--cacert', server.caFile, ...what, ...args];
  return run(curl, [...out, `https://127.0.0.1:${port}/sign`]);
}

/** A host's chain in one file, as curl and nginx take it. */
async function chainFile({ pem }: Issued, name: string): Promise<string> {
  const file = join(dir, `${name}.chain.pem`);
  await writeFile(file, pem + between.pem);
  return file;
}
const asHost = async (issued: Issued, name: string) => [
  ...['--cert', await chainFile(issued, name)],
  ...['--key', issued.keyFile],
];

test('a host shows its certificate as the page has curl do it', async () => {
  const folder = join(dir, 'host');
  await mkdir(folder);
  await copyFile(await chainFile(web1, 'web1'), join(folder, 'www.pem'));
  await copyFile(web1.keyFile, join(folder, 'www.key'));
  await copyFile(csrOf('web1.example.org'), join(folder, 'www.csr'));
  const script = shownBlock('shared/admission/client-certificates.md', 'sh', '--cert www.pem')
    .replace('curl', `'${curl}' --cacert '${server.caFile}' -H 'Prefer: respond-async'`)
    .replace('quarry:1313', `127.0.0.1:${port}`);
  assert.equal(await run('sh', ['-c', `cd '${folder}'\n${script}`]), '');
  assert.match(await readFile(join(folder, 'www.pem.new'), 'utf8'), /: fetch \/sign\//);
});

test('quarry-get shows the certificate that its host has, and says why it is refused without', async () => {
  const [chain, key] = [join(dir, 'own.pem'), join(dir, 'own.key')];
  const files = ['--key', key, '--chain', chain];
  const shown = [...files, '--client-cert', chain, '--client-key', key];
  const trust = ['--server', `https://127.0.0.1:${port}`, '--ca-file', server.caFile, '--wait', '1'];
  const ask = (...words: string[]) => run('sh', [join(scripts, 'quarry-get'), ...words, 'web1.example.org']);
  const get = (...words: string[]) => ask(...words, ...shown);
  await copyFile(web1.keyFile, key);
  const without = ['--client-cert', join(dir, 'no.pem'), '--token-file', join(dir, 'no.token')];
  await writeFile(join(dir, 'no.token'), 'quarry_none\n', { mode: 0o600 });
  assert.match(
    await get(...without, ...trust),
    /^quarry-get: web1\.example\.org: refused: 403 not admitted: web1/,
  );
  await copyFile(await chainFile(web1, 'web1'), chain);
  assert.match(await get(...trust), /^quarry-get: web1\.example\.org: [^:]*; to be tried again in 5 s\n$/);
  assert.match(
    await get(...trust.slice(0, 2)),
    /^quarry-get: .*: no answer from https.* certificate problem/,
  );
  const both = join(dir, 'both.pem');
  await writeFile(both, `${await readFile(chain, 'utf8')}${await readFile(key, 'utf8')}`, { mode: 0o600 });
  assert.match(await ask(...trust, ...files, '--client-cert', both), /; to be tried again in 5 s\n$/);
  assert.match(
    await ask(...trust, ...files, '--client-cert', chain),
    /^quarry-get: .*: no answer from .*key/,
  );
});

test('a host gets certificates for the names of the certificate that it has, and for no others', async () => {
  const asWeb1 = await asHost(web1, 'web1');
  assert.match(await post('web1.example.org', ...asWeb1), /202$/);
  assert.match(await post('web2.example.org', ...asWeb1), /^not admitted: web2\.example\.org; .*\n403$/);
  assert.match(await post('open.example', ...asWeb1), /202$/);
  const line = intake.log().find(({ certificate, status }) => certificate && status === 202);
  assert.match(`${line?.certificate}`, /^client certificate web1\.example\.org [0-9a-f]{16}$/);
});

test('without a certificate other blocks go on, and so they do with a bad one, which the refusal and the log tell', async () => {
  assert.match(
    await post('web1.example.org'),
    /^not admitted: web1\.example\.org; add it as a domain line .*\n403$/,
  );
  assert.match(await post('open.example'), /202$/);
  for (const [bad, why] of [
    [old, 'expired at'],
    [stranger, 'is of no CA that is trusted here'],
  ] as const) {
    const shown = ['--cert', bad.certFile, '--key', bad.keyFile];
    assert.match(await post('open.example', ...shown), /202$/);
    const refusal = await post('web1.example.org', ...shown);
    assert.match(refusal, /^not admitted: web1\.example\.org; .*; the client certificate .*\n403$/);
    assert.ok(refusal.includes(why), refusal);
    await waitUntil('the log to say why', () =>
      intake.log().some(line => line.status === 403 && `${line.certificate}`.includes(why)),
    );
  }
});

/** One request over `openssl s_client`, which keeps its session in a file. */
async function overOpenSsl(name: string, ...args: string[]): Promise<string> {
  const body = await readFile(csrOf(name));
  const head = `POST /sign HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n`;
  const what = `${head}Prefer: respond-async\r\nConnection: close\r\n\r\n${body}`;
  const file = join(dir, 'request');
  await writeFile(file, what);
  const client = `'${openssl}' s_client -ign_eof -connect 127.0.0.1:${port} ${args.join(' ')} <'${file}'`;
  return run('sh', ['-c', `${client} 2>&1`]);
}

for (const version of ['-tls1_3', '-tls1_2']) {
  test(`a session of ${version} is not resumed, so a certificate ends with its connection`, async () => {
    const session = join(dir, `session${version}`);
    const shown = ['-cert', web1.certFile, '-key', web1.keyFile, '-cert_chain', between.certFile];
    const first = await overOpenSsl('web1.example.org', version, ...shown, '-sess_out', session);
    assert.match(first, /HTTP\/1\.1 202/);
    const second = await overOpenSsl('web1.example.org', version, '-sess_in', session);
    assert.match(second, /HTTP\/1\.1 403/);
    assert.doesNotMatch(second, /Reused/);
  });
}

test('connections that are kept alive, asked in turn, keep each its own certificate', async () => {
  const agents = await Promise.all(
    [web1, web2].map(async ({ pem, keyFile }) => {
      const key = await readFile(keyFile);
      return new Agent({ keepAlive: true, maxSockets: 1, cert: pem, key, rejectUnauthorized: false });
    }),
  );
  const sockets = new Set<unknown>();
  async function postBy(agent: Agent | undefined, name: string): Promise<number | undefined> {
    const body = await readFile(csrOf(name));
    const headers = { 'Content-Length': body.length, Prefer: 'respond-async' };
    const asked = request({ host: '127.0.0.1', port, path: '/sign', method: 'POST', agent, headers });
    asked.end(body);
    const [answer] = await once(asked, 'response');
    sockets.add(asked.socket);
    await text(answer);
    return answer.statusCode;
  }
  for (let round = 0; round < 3; round++) {
    for (const [at, name] of ['web1.example.org', 'web2.example.org'].entries()) {
      assert.deepEqual(
        await Promise.all(agents.map(agent => postBy(agent, name))),
        at === 0 ? [202, 403] : [403, 202],
      );
    }
  }
  assert.equal(sockets.size, 2);
  for (const agent of agents) agent.destroy();
});

/** What Quarry's page shows for a proxy, with this test's addresses and files. */
async function startProxy(): Promise<{ port: number; stop(): Promise<void> }> {
  const block = shownBlock('shared/admission/client-certificates.md', 'nginx');
  const [tls, ready] = (await freePorts(2)) as [number, number];
  const servers = block
    .replace('listen 443 ssl', `listen 127.0.0.1:${tls} ssl`)
    .replace(/ssl_certificate .*;/, `ssl_certificate ${server.certFile};`)
    .replace(/ssl_certificate_key .*;/, `ssl_certificate_key ${server.keyFile};`)
    .replaceAll(/http:\/\/[\d.]+:1313/g, `http://127.0.0.1:${plainPort}`);
  assert.doesNotMatch(servers, /443|1313/);
  const nginx = await startNginx(`${servers}\nserver { listen 127.0.0.1:${ready}; return 204; }`, ready);
  return { port: tls, stop: async () => nginx[Symbol.asyncDispose]() };
}

test('behind nginx, as the page shows it, the certificate of the client counts, and no header that it smuggles', async () => {
  const nginx = await startProxy();
  const through = async (name: string, ...args: string[]) => {
    const what = ['--data-binary', `@${csrOf(name)}`, '-H', 'Prefer: respond-async', '-H', 'Expect:'];
    const out = ['-sS', '-w', '%{http_code}', '--cacert', server.caFile, ...what, ...args];
    return run(curl, [...out, `https://127.0.0.1:${nginx.port}/sign`]);
  };
  const smuggled = ['-H', `X-SSL-Client-Cert: ${encodeURIComponent(web2.pem)}`];
  const asWeb1 = await asHost(web1, 'web1');
  assert.match(await through('web1.example.org', ...asWeb1), /202$/);
  assert.match(await through('web2.example.org', ...asWeb1), /^not admitted: .*\n403$/);
  assert.match(await through('web2.example.org', ...asWeb1, ...smuggled), /^not admitted: .*\n403$/);
  assert.match(await through('web2.example.org', ...smuggled), /403$/);
  const bad = await through('web1.example.org', '--cert', old.certFile, '--key', old.keyFile);
  assert.match(bad, /^not admitted: .*; the client certificate expired at .*\n403$/);
  await nginx.stop();
});

test('the header counts from a trusted proxy alone, once, and verified', async () => {
  const body = await readFile(csrOf('web1.example.org'));
  const prefer = { Prefer: 'respond-async' };
  const postTo = async (headers: Record<string, string>, from = '127.0.0.1') => {
    const url = `http://127.0.0.1:${plainPort}/sign`;
    const { status, headers: answered } = await ask(url, {
      ...{ method: 'POST', body, headers: { ...prefer, ...headers }, from },
    });
    const id = answered['x-request-id'];
    const lineOf = () => intakes[1]?.log().find(({ msg, request }) => msg === 'request' && request === id);
    await waitUntil('the request to be logged', () => lineOf() !== undefined);
    return [status, `${lineOf()?.certificate}`] as const;
  };
  const header = (value: string) => ({ 'X-SSL-Client-Cert': value });
  const good = encodeURIComponent(web1.pem);
  assert.match((await postTo(header(good))).join(), /^202,client certificate web1/);
  assert.match((await postTo(header(good), '127.0.0.2')).join(), /^403,.* no trusted-proxy has sent it$/);
  assert.match((await postTo(header(encodeURIComponent(stranger.pem)))).join(), /^403,.* of no CA that/);
  assert.match((await postTo(header('SUCCESS'))).join(), /^403,.* cannot be read$/);
  assert.match((await postTo(header(`${good}, ${good}`))).join(), /^403,.* cannot be read$/);
  assert.match((await postTo(header(''))).join(), /^403,undefined$/);
  const twice = [`x-ssl-client-cert: ${good}`, `X-SSL-Client-Cert: ${encodeURIComponent(web2.pem)}`];
  const shown = twice.flatMap(one => ['-H', one]);
  const what = ['-sS', '-w', '%{http_code}', '--data-binary', `@${csrOf('web1.example.org')}`, ...shown];
  assert.match(await run(curl, [...what, `http://127.0.0.1:${plainPort}/sign`]), /403$/);
});

test('a certificate whose key is blocked counts as none', async () => {
  const lost = await host('web1.example.org');
  const shown = await asHost(lost, 'lost');
  assert.match(await post('web1.example.org', ...shown), /202$/);
  const client = new RedisClient(redis.url);
  const keys = openBlockedKeys({ redis: client, prefix: '{quarry}' });
  await keys.block(readKeyDigest(lost.pem), { reason: 'it was in a backup', at: Date.now() });
  client.disconnect();
  await waitUntil('the intake to know of it', async () =>
    /has a key that is blocked\n403$/.test(await post('web1.example.org', ...shown)),
  );
  assert.match(await post('open.example', ...shown), /202$/);
});

test('client-ca is read again when it changes', async () => {
  const other = await issueCertificate({ subject: '/CN=other', extensions: caExtensions });
  const web3 = await host('web1.example.org', { issuer: other });
  const shown = ['--cert', web3.certFile, '--key', web3.keyFile];
  assert.match(await post('web1.example.org', ...shown), /403$/);
  const before = join(dir, 'before.pem');
  await copyFile(caFile, before);
  await writeFile(caFile, root.pem.slice(0, 100));
  await waitUntil('the damaged file to be refused', () => /client-ca unusable/.test(intake.output()));
  assert.match(await post('web1.example.org', ...(await asHost(web1, 'web1'))), /202$/);
  await writeFile(caFile, other.pem);
  await waitUntil('the new file to count', async () => /202$/.test(await post('web1.example.org', ...shown)));
  await copyFile(before, caFile);
});

test('clients are told of the CAs whose certificates they may show', async () => {
  const seen = await run('sh', ['-c', `'${openssl}' s_client -connect 127.0.0.1:${port} </dev/null 2>&1`]);
  assert.match(seen, /Acceptable client certificate CA names\n(.*\n)?CN ?= ?(root|between|other)/);
});
