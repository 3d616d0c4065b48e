import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { basename, join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { type Answer, ask } from '../../support/ask.ts';
import { callQuarry } from '../../support/call-quarry.ts';
import { assertChain } from '../../support/chain.ts';
import { startChalltestsrv } from '../../support/challtestsrv.ts';
import { type Csr, type CsrOptions, makeCsr } from '../../support/csr.ts';
import { startQuarry } from '../../support/quarry.ts';
import { startRedis } from '../../support/redis.ts';
import type { Ended } from '../../support/run-quarry.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { type Check, type Programs, type RunningCa, type TestedCa, testedCas } from './cas.ts';

/** Where a web server shows what programs prove with; Quarry's own responder has 127.0.0.1. */
const webAddress = '127.0.0.2';

/** Characters of a CA's output that are shown with a failure. */
const lastWords = 2000;
const contact = 'admin@example.org';

type Ground = AsyncDisposable & {
  ca: RunningCa;
  dir: string;
  /** What is shown at http://127.0.0.2/.well-known/acme-challenge/. */
  webroot: string;
  ini: string;
  post(csr: Csr): Promise<Answer>;
  revoke(chain: string): Promise<Answer>;
  /** Where a name leads to: 127.0.0.1 unless it is told. */
  resolve(name: string, address: string): Promise<void>;
  quarry(args: string[]): Promise<Ended>;
};

/** Declares the tests of all CAs; one that is not to be had is skipped, and says why. */
export function tryCas(programs: Programs): void {
  for (const ca of testedCas) {
    const found = programs[ca.program];
    if ('missing' in found) test(ca.name, { skip: found.missing }, () => {});
    else suite(ca.name, { concurrency: 2 }, () => tryCa(ca, found.path));
  }
}

function tryCa(ca: TestedCa, program: string): void {
  let ground: Ground;
  before(async () => {
    ground = await startGround(ca, program);
  });
  after(() => ground?.[Symbol.asyncDispose]());
  const check = (name: Check, what: string, run: (ground: Ground) => Promise<void>) =>
    test(`${name}: ${what}`, { skip: ca.lacks[name] ?? false }, async context => {
      try {
        await run(ground);
      } catch (error) {
        context.diagnostic(`the CA's last words: ${ground.ca.output().slice(-lastWords)}`);
        throw error;
      }
    });

  // Caddy takes half a minute to say so, and the others pass by.
  check('a mended validation', '421 with the cause, and a certificate once it is mended', mend);
  check('http-01', 'a P-256 key gets its certificate', async ground => {
    await issue(ground, { names: ['www.http.example'] });
  });
  check('several names', 'an RSA key gets its certificate for three names', async ground => {
    await issue(ground, { names: ['a.http.example', 'b.http.example', 'c.http.example'], key: 'rsa' });
  });
  check('dns-01', 'a name and a wildcard get their certificate', async ground => {
    await issue(ground, { names: ['dns.example', '*.dns.example'] });
  });
  check('renewal', 'quarry renew replaces a certificate, and the next post gets the new one', renew);
  check('revocation', 'POST /revoke revokes, and once more says so', revoke);
  check('external account binding', 'no account is made without it', refuseUnbound);
  check('quarry acme', 'a certificate by hand', async ground => {
    await orderByHand(ground);
  });
  check('rollover', 'quarry acme gives an account another key', rollOver);
  check('quarry shaman', 'two certificates in one run', runShaman);
}

async function startGround(tested: TestedCa, program: string): Promise<Ground> {
  await using started = new AsyncDisposableStack();
  const { path: dir } = started.use(await tempDir());
  const webroot = join(dir, 'webroot');
  await mkdir(webroot);
  const dns = started.use(await startChalltestsrv({ dnsPort: 53 }));
  const ca = started.use(await tested.start(program));
  const redis = started.use(await startRedis());
  started.use(await serve(webroot));
  const url = 'http://127.0.0.1:8080';
  const ini = configuration({ dir, ca, redisUrl: redis.url, setTxt: `${dns.managementUrl}/set-txt` });
  await writeFile(join(dir, 'main.ini'), ini);
  const before = process.cwd();
  process.chdir(dir); // commands name files in it
  started.defer(() => process.chdir(before));
  started.use(await startQuarry('up', ini));

  const parts = started.move();
  return {
    ca,
    dir,
    webroot,
    ini,
    post: ({ csrPem }) => ask(`${url}/sign`, { method: 'POST', body: csrPem }),
    revoke: chain => ask(`${url}/revoke`, { method: 'POST', body: chain }),
    async resolve(name, address) {
      const tell = async (what: string, body: object) => {
        const url = `${dns.managementUrl}/${what}`;
        assert.equal((await fetch(url, { method: 'POST', body: JSON.stringify(body) })).status, 200);
      };
      await tell('clear-a', { host: `${name}.` });
      await tell('add-a', { host: `${name}.`, addresses: [address] });
    },
    quarry: args => callQuarry(args, ca.caFile === undefined ? {} : { ACME_CAFILE: ca.caFile }),
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

function configuration(at: { dir: string; ca: RunningCa; redisUrl: string; setTxt: string }): string {
  const { dir, ca, redisUrl, setTxt } = at;
  return `[account]
acme-server = ${ca.directoryUrl}
accept-terms-of-service = yes
contact = mailto:${contact}
dir = ${dir}/account
${ca.caFile ? `ca-file = ${ca.caFile}` : ''}
${ca.eab ? `eab-kid = ${ca.eab.kid}\neab-hmac-key = ${ca.eab.hmacKey}` : ''}
[mgmt]
listener = 127.0.0.1:8080
wait = 60
[redis]
url = ${redisUrl}
[verification "http"]
type = http01
listener = 127.0.0.1:80
self-check = off
[verification "dns"]
type = dns01-challtestsrv
set-txt_url = ${setTxt}
[storage "files"]
type = file
directory = ${dir}/storage
renew-ahead = yes
[auth "http"]
all = yes
domain = *.http.example
verification = http
storage = files
[auth "dns"]
all = yes
domain = dns.example
domain = *.dns.example
verification = dns
storage = files
`;
}

async function serve(webroot: string): Promise<AsyncDisposable> {
  const server = createServer((request, response) => {
    readFile(join(webroot, basename(request.url ?? ''))).then(
      body => response.end(body),
      () => response.writeHead(404).end(),
    );
  });
  server.listen(80, webAddress);
  await once(server, 'listening');
  return server;
}

async function issue(ground: Ground, options: CsrOptions): Promise<{ csr: Csr; chain: string }> {
  const csr = await makeCsr(options);
  const { status, body } = await ground.post(csr);
  assert.equal(status, 200, body);
  assertChain(body, { names: options.names, keyPem: csr.keyPem, rootPem: await ground.ca.rootPem() });
  return { csr, chain: body };
}

async function renew(ground: Ground): Promise<void> {
  const { csr, chain } = await issue(ground, { names: ['renew.http.example'] });
  const { code, stderr, stdout } = await ground.quarry(['renew', 'renew.http.example', 'main.ini']);
  assert.equal(code, 0, stderr + stdout);
  const again = await ground.post(csr);
  assert.equal(again.status, 200);
  assert.notEqual(again.body, chain);
}

async function revoke(ground: Ground): Promise<void> {
  const { csr, chain } = await issue(ground, { names: ['revoke.http.example'] });
  const answer = await ground.revoke(chain);
  assert.deepEqual([answer.status, answer.body], [200, 'revoked\n']);
  const again = await ground.revoke(chain);
  assert.deepEqual([again.status, again.body], [200, 'revoked already\n']);
  assert.notEqual((await ground.post(csr)).body, chain);
}

async function refuseUnbound(ground: Ground): Promise<void> {
  const { directoryUrl, eab } = ground.ca;
  await ground.quarry(['acme', 'key', 'create', 'unbound.pem']);
  const create = ['acme', 'unreg', 'unbound.pem', directoryUrl, 'create', '--contact', contact];
  const refused = await ground.quarry(create);
  assert.equal(refused.code, 1, refused.stdout);
  assert.match(refused.stderr, /external account|externalAccount/i);
  const binding = ['--eab-kid', eab?.kid ?? '', '--eab-hmac-key', eab?.hmacKey ?? ''];
  const made = await ground.quarry([...create, ...binding]);
  assert.match(made.stdout, /^Account: http/, made.stderr);
}

async function mend(ground: Ground): Promise<void> {
  const names = ['mend.http.example'];
  const csr = await makeCsr({ names });
  await ground.resolve('mend.http.example', '127.0.0.9'); // Nobody listens there.
  const failed = await ground.post(csr);
  assert.equal(failed.status, 421, failed.body);
  await ground.resolve('mend.http.example', '127.0.0.1');
  const { status, body } = await ground.post(csr);
  assert.equal(status, 200, body);
  assertChain(body, { names, keyPem: csr.keyPem, rootPem: await ground.ca.rootPem() });
}

type Account = { reg(...args: string[]): Promise<string>; url: string };

/** A new account by `quarry acme`, with its key in `<name>.pem`. */
async function makeAccount(ground: Ground, name: string): Promise<Account> {
  const { directoryUrl, eab } = ground.ca;
  const told = async (args: string[]) => {
    const { code, stdout, stderr } = await ground.quarry(args);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  await told(['acme', 'key', 'create', `${name}.pem`]);
  const binding = eab ? ['--eab-kid', eab.kid, '--eab-hmac-key', eab.hmacKey] : [];
  const more = ['--contact', contact, ...binding];
  const url = idOf(await told(['acme', 'unreg', `${name}.pem`, directoryUrl, 'create', ...more]));
  return { url, reg: (...args) => told(['acme', 'reg', `${name}.pem`, url, directoryUrl, ...args]) };
}

/** As concorde keeps and prints chains, there need be no blank line between two certificates. */
const spaced = (chain: string) => chain.replaceAll(/-\n-/g, '-\n\n-').trim();

const idOf = (told: string) => /^\w+: (\S+)/.exec(told)?.[1] ?? '';
const objectOf = (told: string) => JSON.parse(told.slice(told.indexOf('\n')));

async function orderByHand(ground: Ground): Promise<void> {
  const name = 'hand.example';
  await ground.resolve(name, webAddress);
  const { reg } = await makeAccount(ground, 'hand');
  const order = idOf(await reg('order', 'create', `dns|${name}`));
  const { challenges } = objectOf(await reg('order', 'get-authz', order, '0'));
  const { url, token } = challenges.find(({ type }: { type: string }) => type === 'http-01');
  const shown = idOf(await reg('challenge', url, 'authorize').then(told => told.replace('Key ', '')));
  await writeFile(join(ground.webroot, token), shown);
  await reg('challenge', url, 'validate');
  const until = async (status: string) => {
    for (let asked = 0; asked < 40; asked++)
      if (objectOf(await reg('order', 'status', order)).status === status) return;
    assert.fail(`the order is ${status}`);
  };
  await until('ready');
  await ground.quarry(['acme', 'key', 'create', 'leaf.pem']);
  await reg('order', 'finalize', order, 'leaf.pem', name);
  await until('valid');
  const keyPem = await readFile(join(ground.dir, 'leaf.pem'), 'utf8');
  const chain = await reg('order', 'get-cert', order);
  assertChain(spaced(chain), { names: [name], keyPem, rootPem: await ground.ca.rootPem() });
}

async function rollOver(ground: Ground): Promise<void> {
  const { url, reg } = await makeAccount(ground, 'old');
  await ground.quarry(['acme', 'key', 'create', 'new.pem']);
  await reg('acct', 'rollover', 'new.pem');
  const status = (key: string) =>
    ground.quarry(['acme', 'reg', key, url, ground.ca.directoryUrl, 'acct', 'status']);
  const [before, now] = [await status('old.pem'), await status('new.pem')];
  assert.equal(before.code, 1, before.stdout);
  assert.equal(idOf(now.stdout), url, now.stderr);
}

async function runShaman(ground: Ground): Promise<void> {
  const names = ['one.shaman.example', 'two.shaman.example'];
  for (const name of names) await ground.resolve(name, webAddress);
  const path = join(ground.dir, 'shaman');
  await mkdir(path);
  const program = join(path, 'prove');
  await writeFile(program, `#!/bin/sh\nread token\nread key\nprintf %s "$key" >${ground.webroot}/$token\n`);
  await chmod(program, 0o755);
  const { directoryUrl, eab } = ground.ca;
  const domains = Object.fromEntries(names.map(name => [name, {}]));
  const file = {
    ...{
      server: directoryUrl,
      contact: [`mailto:${contact}`],
      renewal: 10,
      authenticators: { 'http-01': 'prove' },
      domains,
    },
    ...(eab && { eab: { kid: eab.kid, hmac_key: eab.hmacKey } }),
  };
  await writeFile(join(path, 'shaman.json'), JSON.stringify(file));
  const { code, stdout, stderr } = await ground.quarry(['shaman', path]);
  assert.deepEqual([code, stderr], [0, ''], stdout);
  for (const name of names) {
    const chain = await readFile(join(path, `${name}.cert.pub.pem`), 'utf8');
    const keyPem = await readFile(join(path, `${name}.key.priv.pem`), 'utf8');
    const expected = { names: [name], keyPem, rootPem: await ground.ca.rootPem() };
    assertChain(spaced(chain), expected);
  }
}
