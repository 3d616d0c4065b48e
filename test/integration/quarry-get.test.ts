import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { createHash, createHmac, createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdir, readdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { caExtensions, type Issued, issueCertificate, serverExtensions } from '../support/certificates.ts';
import { findCommand } from '../support/find-command.ts';
import { listen } from '../support/listen.ts';
import { provision } from '../support/provision.ts';
import { tempDir } from '../support/temp-dir.ts';

// quarry-get beside a server that does what a test says. `hmac2.test.ts` has it beside a fleet.

const script = join(import.meta.dirname, '../../services/get/quarry-get');
const tools = await provision(['bash', 'busybox', 'curl', 'openssl', 'script', 'shellcheck', 'wget']);
const shells = { dash: ['sh'], bash: [tools.bash, '--posix'], busybox: [tools.busybox, 'sh'] };
type Shell = keyof typeof shells;

const parts = new AsyncDisposableStack();
after(() => parts.disposeAsync());

const root = await issueCertificate({ subject: '/CN=a root', extensions: caExtensions });
const issuer = await issueCertificate({ subject: '/CN=an issuer', extensions: caExtensions, issuer: root });
const stranger = await issueCertificate({ subject: '/CN=an issuer', extensions: caExtensions, issuer: root });

/** A chain for a CSR, or for another key. */
async function certify(
  csr: string | undefined,
  { names = ['www.example.org'], by = issuer, chain = [issuer], from = -1, until = 90 } = {},
): Promise<string> {
  const extensions = names.length > 0 ? serverExtensions(...names) : [];
  const asked = csr === undefined ? {} : { csr };
  const { pem } = await issueCertificate({ ...asked, extensions, issuer: by, from, until });
  return [pem, ...chain.map((one: Issued) => one.pem)].join('\n');
}

/** The DNS names that a CSR asks for. */
function namesOf(csr: string): string[] {
  const args = ['req', '-noout', '-text'];
  const { stdout } = spawnSync(tools.openssl, args, { input: csr, encoding: 'utf8' });
  return [...stdout.matchAll(/DNS:([\w.*]+)/g)].map(([, name = '']) => name);
}

type Request = { method: string; path: string; headers: IncomingHttpHeaders; body: string };
type Step = (request: Request, response: ServerResponse) => unknown;

/** A server that takes one step after the other, and the last one again and again. */
async function startServer(...steps: Step[]) {
  const requests: Request[] = [];
  const server = await listen(async (message, response) => {
    const { method = '', url: path = '', headers } = message;
    const request = { method, path, headers, body: await text(message) };
    requests.push(request);
    const step = steps.length > 1 ? steps.shift() : steps[0];
    await Promise.resolve(step?.(request, response)).catch(error => response.writeHead(500).end(`${error}`));
  });
  parts.use(server);
  return {
    url: server.url,
    next: (...next: Step[]) => steps.splice(0, Number.POSITIVE_INFINITY, ...next),
    /** What came since the last time. */
    asked: () => requests.splice(0),
  };
}

const say =
  (status: number, body: string, headers: Record<string, string> = {}): Step =>
  (_, response) =>
    response.writeHead(status, { 'Content-Length': Buffer.byteLength(body), ...headers }).end(body);
const issue =
  (options?: Parameters<typeof certify>[1]): Step =>
  async ({ body }, response) =>
    say(200, await certify(body, options))({} as Request, response);
const working = say(202, 'queued behind 3: fetch /sign/0b5c3b1e-5d2a\n', {
  Location: '/sign/0b5c3b1e-5d2a',
  'Retry-After': '0',
});

/** The folder of a host, and how it runs quarry-get there. */
async function openHost(url: string, shell: Shell = 'dash') {
  const { path: folder } = parts.use(await tempDir());
  const at = (name: string) => join(folder, name);
  const read = (name: string) => readFile(at(name), 'utf8').catch(() => '');
  const common = ['--server', url, '--key', at('www.key'), '--chain', at('www.pem'), '--wait', '20'];
  const reload = ['--reload', `echo reloaded >>${at('reloads')}`];
  const run = (words: string[], { env = {} as NodeJS.ProcessEnv, through = [] as string[] } = {}) => {
    const [program = '', ...args] = [...through, ...shells[shell], script, ...words];
    return new Promise<{ code: unknown; stdout: string; stderr: string }>(done =>
      execFile(program, args, { cwd: folder, env: { ...process.env, ...env } }, (error, stdout, stderr) =>
        done({ code: error?.code ?? error?.signal ?? 0, stdout, stderr }),
      ),
    );
  };
  return {
    ...{ folder, at, read, run, common },
    /** With what most tests say. */
    get: (words: string[] = [], options?: Parameters<typeof run>[1]) =>
      run([...words, ...common, ...reload, 'www.example.org'], options),
    /** How often it has reloaded. */
    reloads: async () => (await read('reloads')).split('\n').length - 1,
    mode: async (name: string) => ((await stat(at(name))).mode & 0o777).toString(8),
    /** Whether what is in place fits together. */
    async fits(): Promise<boolean> {
      const leaf = new X509Certificate(await read('www.pem'));
      const key = spawnSync(tools.openssl, ['pkey', '-in', at('www.key'), '-pubout'], { encoding: 'utf8' });
      return leaf.publicKey.export({ type: 'spki', format: 'pem' }) === key.stdout;
    },
  };
}

type Host = Awaited<ReturnType<typeof openHost>>;

/** Says of a run that it ended so, with one line. */
function assertEnded(ended: Awaited<ReturnType<Host['run']>>, code: number, line: RegExp): void {
  assert.equal(ended.code, code, ended.stderr);
  assert.match(ended.stderr, line);
  assert.match(ended.stderr, /^quarry-get: [^\n]*\n$/, 'it is one line');
}

/** A PATH that has these programs in front, each of them lines of a shell. */
async function withPrograms(programs: Record<string, string>): Promise<NodeJS.ProcessEnv> {
  const { path } = parts.use(await tempDir());
  for (const [name, lines] of Object.entries(programs))
    await writeFile(join(path, name), `#!/bin/sh\n${lines}\n`, { mode: 0o755 });
  return { PATH: `${path}:${process.env.PATH}` };
}

/** As on Alpine Linux: all but openssl, curl and flock, which Debian's busybox lacks, is of busybox. */
async function busyboxSystem(): Promise<NodeJS.ProcessEnv> {
  const { path: folder } = parts.use(await tempDir());
  for (const name of ['openssl', 'curl', 'flock']) await symlink(findCommand(name) ?? '', join(folder, name));
  const list = spawnSync(tools.busybox, ['--list'], { encoding: 'utf8' }).stdout.split('\n');
  for (const applet of list.filter(name => name !== '' && name !== 'wget'))
    await symlink(tools.busybox, join(folder, applet)).catch(() => {});
  return { PATH: folder };
}

test('shellcheck finds nothing in it, and it has at most 250 lines', async () => {
  const { stdout } = spawnSync(tools.shellcheck, ['--norc', script], { encoding: 'utf8' });
  assert.equal(stdout, '');
  const lines = (await readFile(script, 'utf8')).trimEnd().split('\n');
  assert.ok(lines.length <= 250 && lines.every(line => line.length <= 110));
});

test('it makes what is missing, waits, checks, places and reloads once, as on Alpine Linux', async () => {
  const server = await startServer(working);
  const host = await openHost(server.url, 'busybox');
  const env = await busyboxSystem();
  await writeFile(host.at('password'), 'a password\n', { mode: 0o600 });
  const words = ['--mode', '0640', '--owner', `${process.getuid?.()}:${process.getgid?.()}`];
  words.push('--pkcs12', host.at('www.p12'), '--pkcs12-password-file', host.at('password'));
  words.push('--name', '2001:db8::1 192.0.2.1');
  const names = ['www.example.org', '2001:db8::1', '192.0.2.1'];
  let chain = '';
  server.next(working, async (request, response) => {
    chain = await certify(await host.read('www.state/next.csr'), { names, until: 89.5 });
    say(200, chain)(request, response);
  });
  const { code, stdout, stderr } = await host.get(words, { env });
  assert.equal(code, 0, stderr);
  const said = `2001:db8::1: a new certificate is in ${host.at('www.pem')}, its key in ${host.at('www.key')}\n`;
  assert.deepEqual([stdout, stderr], [said, '']);
  assert.deepEqual(
    server
      .asked()
      .map(({ method, path, headers }) =>
        `${method} ${path} ${headers.prefer}`.replace(/, wait=(20|1\d)$/, ''),
      ),
    ['POST /sign respond-async', 'GET /sign/0b5c3b1e-5d2a respond-async'],
  );
  assert.ok(await host.fits());
  const modes = ['www.key', 'www.pem', 'www.p12', 'www.state'].map(host.mode);
  assert.deepEqual(await Promise.all(modes), ['640', '644', '640', '700']);
  const opened = ['pkcs12', '-in', host.at('www.p12'), '-passin', 'pass:a password', '-nokeys'];
  assert.match(spawnSync(tools.openssl, opened, { encoding: 'utf8' }).stdout, /BEGIN CERTIFICATE/);

  server.next(say(200, chain));
  assert.deepEqual(await host.get(words, { env }), { code: 0, stdout: '', stderr: '' });
  const [post] = server.asked();
  assert.equal(post?.body, await host.read('www.state/csr'), 'it posts the CSR that it posted before');
  assert.equal(await host.reloads(), 1);
  const checked = await host.run(['check', ...host.common, ...words], { env });
  assert.deepEqual(checked, { code: 0, stdout: '2001:db8::1: 89 days are left\n', stderr: '' });

  server.next(issue({ names: [] }));
  const nameless = /: the certificate is not for ipaddress:.* dns:www\.example\.org$/m;
  assertEnded(await host.get(words, { env }), 4, nameless);
});

test('what is no good never takes the place of a certificate', async () => {
  const server = await startServer(issue());
  const host = await openHost(server.url, 'bash');
  assert.equal((await host.get()).code, 0);
  const before = await host.read('www.pem');
  const bad: [Step, RegExp][] = [
    [
      async (_, response) => say(200, await certify(undefined))(_, response),
      /: what came is no certificate for our key$/m,
    ],
    [issue({ until: -0.5 }), /: the chain is no good at \d{4}-.*Z: certificate has expired$/m],
    [issue({ names: ['example.org'] }), /: the certificate is not for dns:www\.example\.org$/m],
    [
      issue({ by: stranger }),
      /: the chain is no good at .*Z: (certificate signature failure|unable to get local issuer .*)$/m,
    ],
  ];
  for (const [step, line] of bad) {
    server.next(step);
    assertEnded(await host.get(), 4, line);
    assert.equal(await host.read('www.pem'), before);
  }
  assert.equal(await host.reloads(), 1);
});

test('a refusal is told at once, and what may pass by its time', async () => {
  const server = await startServer();
  const host = await openHost(server.url);
  const later = { 'Retry-After': '0003600' };
  const date = { 'Retry-After': new Date(Date.now() + 3_600_000).toUTCString() };
  const answers: [Step, number, RegExp][] = [
    [
      say(403, 'not admitted: www.example.org\nmore\n'),
      1,
      /: refused: 403 not admitted: www\.example\.org$/m,
    ],
    [say(202, 'x', { Location: '//elsewhere/sign/x' }), 1, /: the server sends us elsewhere$/m],
    [say(202, 'x', { Location: '(' }), 1, /: the server sends us elsewhere$/m],
    [
      say(301, '', { Location: 'https://quarry/\x9b31m' }),
      2,
      /: the server is elsewhere, as it says: https:\/\/quarry\/31m$/m,
    ],
    [say(200, 'x'.repeat(3_000_000)), 4, /: what came is far too long for a chain$/m],
    [
      say(429, 'the limit \x1b[1mof the CA\n', later),
      3,
      /: 429 the limit \[1mof the CA; to be tried again in 0003600 s$/m,
    ],
    [say(503, 'no CA\n', date), 3, /: 503 no CA; to be tried again in \d{3,4} s$/m],
    // What to do stands at the end of a line that tells of several names.
    [say(421, `${'x'.repeat(1000)}: open port 80\n`), 1, /x: open port 80$/m],
  ];
  for (const [step, code, line] of answers) {
    server.next(step);
    assertEnded(await host.get(), code, line);
    assert.equal(server.asked().length, 1);
  }
  assert.deepEqual([await host.read('www.key'), await host.read('www.pem')], ['', '']);
  const nobody = ['--server', 'http://127.0.0.1:9', '--wait', '1'];
  assertEnded(
    await host.get(nobody),
    3,
    /: no answer from http:\/\/127\.0\.0\.1:9: curl: \(7\) .*; to be tried/,
  );
});

test('a server that dies, restarts and forgets is asked again, and a terminal shows it', async () => {
  const server = await startServer(
    (_, response) => {
      response.writeHead(200, { 'Content-Length': 5000 }).write('-----BEGIN CERTIFICATE-----\n');
      setImmediate(() => response.destroy());
    },
    say(503, 'the server restarts\n', { 'Retry-After': '1' }),
    working,
    say(404, 'no such result\n', { 'Retry-After': '0' }),
    issue(),
  );
  const host = await openHost(server.url, 'busybox');
  // `script` is a terminal, and takes its command as one word of a shell.
  const inTerminal = ['sh', '-c', `exec script -qec "$(printf "'%s' " "$@")" /dev/null`, 'sh'];
  const { code, stdout } = await host.get([], { through: inTerminal });
  const told = stdout.replaceAll('\r', '').split('\n');
  const lines = [
    /^quarry-get: www\.example\.org: no answer from .*curl: \(18\) /,
    /^quarry-get: www\.example\.org: 503 the server restarts$/,
    /^quarry-get: www\.example\.org: queued behind 3$/,
    /^quarry-get: www\.example\.org: 404 no such result$/,
    /^www\.example\.org: a new certificate is in .*\/www\.pem, its key in .*\/www\.key$/,
    /^$/,
  ];
  assert.equal(code, 0, stdout);
  assert.equal(told.length, lines.length, stdout);
  for (const [index, line] of lines.entries()) assert.match(told[index] ?? '', line);
  const asked = server.asked();
  assert.deepEqual(
    asked.map(({ method }) => method),
    ['POST', 'POST', 'POST', 'GET', 'POST'],
  );
  assert.equal(asked[0]?.headers.prefer, 'respond-async, wait=2', 'it is to hear soon what is going on');
  assert.ok(await host.fits());
});

test('a reload that fails is tried again at the next run, with the server away, too', async () => {
  const server = await startServer(issue());
  const host = await openHost(server.url, 'bash');
  const reload = ['--reload', `[ -e ${host.at('may')} ] && echo reloaded >>${host.at('reloads')}`];
  const run = (...words: string[]) => host.run([...words, ...host.common, ...reload, 'www.example.org']);
  assertEnded(await run(), 5, /: the reload failed: /);
  assert.ok(await host.fits());
  await writeFile(host.at('may'), '');
  const through = ['flock', host.at('www.state/lock')];
  assertEnded(
    await host.run([...host.common, 'www.example.org'], { through }),
    3,
    /: another run is at work$/m,
  );
  server.next((_, response) => response.destroy());
  assertEnded(await run('--wait', '1'), 3, /no answer/);
  assert.equal(await host.reloads(), 1);
});

test('a new key comes with its certificate, or not at all', async () => {
  const server = await startServer(issue());
  const host = await openHost(server.url);
  assert.equal((await host.get()).code, 0);
  const old = { key: await host.read('www.key'), chain: await host.read('www.pem') };
  const before = new Date(Date.now() - 91 * 86_400_000);
  await utimes(host.at('www.key'), before, before);
  const rotate = ['--new-key-after', '90'];
  server.next(say(200, old.chain), say(429, 'too many\n', { 'Retry-After': '3600' }));
  assertEnded(await host.get(rotate), 3, /: 429 too many; /);
  assert.deepEqual({ key: await host.read('www.key'), chain: await host.read('www.pem') }, old);

  // It is killed when the key is in its place, and the chain is not.
  const env = await withPrograms({
    mv: `case $* in *www.pem) kill -9 $PPID && exit 1 ;; esac\nexec ${findCommand('mv')} "$@"`,
  });
  server.next(say(200, old.chain), issue());
  await host.get(rotate, { env });
  assert.equal(await host.fits(), false);
  server.next((_, response) => response.destroy());
  assertEnded(await host.get([...rotate, '--wait', '1']), 3, /no answer/);
  assert.ok(await host.fits());
  assert.notEqual(await host.read('www.key'), old.key);
  assert.equal(await host.reloads(), 2);
  const left = await readdir(host.at('www.state'));
  assert.deepEqual(
    left.filter(name => /^(next|ready)/.test(name)),
    [],
  );

  // What is refused for the old key, such as one that is blocked, does not stop the new one.
  await utimes(host.at('www.key'), before, before);
  server.asked();
  server.next(say(403, 'this key is blocked\n'), issue({ names: ['www.example.org', 'example.org'] }));
  const { code, stderr } = await host.get([...rotate, 'example.org']);
  assert.deepEqual([code, stderr], [0, 'quarry-get: example.org: refused: 403 this key is blocked\n']);
  assert.ok(await host.fits());
  const both = ['example.org', 'www.example.org'];
  assert.deepEqual(
    server.asked().map(({ body }) => namesOf(body)),
    [both, both],
    'names that have been added since are in both requests',
  );
});

const asRoot = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
const unshare = ['unshare', '--mount', ...asRoot];
const mayMount = spawnSync(unshare[0] ?? '', [...unshare.slice(1), 'true']).status === 0;
const skip = mayMount ? false : 'no mounts of its own are to be had here';

test('a full disk costs nothing', { skip }, async () => {
  const server = await startServer(issue());
  const host = await openHost(server.url, 'busybox');
  await mkdir(host.at('disk'));
  const own = ['--key', host.at('disk/www.key'), '--chain', host.at('disk/www.pem')];
  const driver = `mount -t tmpfs -o size=200k none disk && cd "$PWD/disk" && "$@" >said.log || exit
cp www.pem www.key .. && head -c 300000 /dev/zero >filler 2>full.log
"$@"; echo "full: $?"
cmp www.pem ../www.pem && cmp www.key ../www.key && echo kept
rm filler; "$@"; echo "room: $?"
cmp -s www.pem ../www.pem || cat www.pem www.key`;
  const { stdout, stderr } = await host.run([...own, '--server', server.url, 'www.example.org'], {
    through: [...unshare, 'sh', '-c', driver, 'sh'],
  });
  assert.match(stderr, /^quarry-get: www\.example\.org: [^\n]* cannot be written: .*\n$/);
  const wanted =
    /^full: 6\nkept\nwww\.example\.org: a new certificate is in .*\nroom: 0\n(-----BEGIN CERT.*)/s;
  const [, pem = ''] = wanted.exec(stdout) ?? [];
  assert.ok(
    new X509Certificate(pem).checkPrivateKey(createPrivateKey(pem.slice(pem.indexOf('-----BEGIN P')))),
    stdout,
  );
});

test('no program has a secret among its arguments or in its environment, nor has wget', {
  skip,
}, async () => {
  const server = await startServer(issue());
  const host = await openHost(server.url, 'bash');
  const [key, token] = ['A1YP67armNf3cBrecyJHdb035', 'quarry_0123456789abcdefghijklmnopqrstuvwxyz'];
  await writeFile(host.at('hmac.key'), `${key}\n`, { mode: 0o600 });
  await writeFile(host.at('token'), `${token}\n`, { mode: 0o600 });
  const names = ['curl', 'wget', 'openssl', 'sed', 'tr', 'od', 'head'];
  const spy = (name: string) =>
    `{ echo "${name} $*"; env; } >>${host.at('spied')}\nexec ${findCommand(name)} "$@"`;
  const env = await withPrograms(Object.fromEntries(names.map(name => [name, spy(name)])));
  const secrets = ['--hmac-key-file', host.at('hmac.key'), '--token-file', host.at('token')];
  const hide = `mount --bind /dev/null ${findCommand('curl')}; rm ${env.PATH?.split(':')[0]}/curl; exec "$@"`;
  const withoutCurl = [...unshare, 'sh', '-ec', hide, 'sh'];
  for (const [through, agent] of [
    [[], /^curl/],
    [withoutCurl, /^Wget/],
  ] as const) {
    const { code, stderr } = await host.get(secrets, { env, through: [...through] });
    assert.equal(code, 0, stderr);
    const [post] = server.asked();
    assert.match(`${post?.headers['user-agent']}`, agent);
    assert.equal(post?.headers.authorization, `Bearer ${token}`);
    const [, time, nonce, hash] =
      /time=(\d+), nonce=(\w+), hash=(\w+)$/.exec(`${post?.headers.authentication}`) ?? [];
    const digest = createHash('sha256')
      .update(post?.body ?? '')
      .digest('hex');
    const lines = ['hmac2', 'POST', '/sign', time, nonce, digest, ''].join('\n');
    assert.equal(hash, createHmac('sha256', key).update(lines).digest('hex'));
  }
  const spied = await host.read('spied');
  const padded = [0, 54, 92].map(pad => Buffer.from(Buffer.from(key).map(byte => byte ^ pad)));
  const spellings = padded.flatMap(bytes => [
    bytes.toString('latin1'),
    bytes.toString('hex'),
    toOctal(bytes),
  ]);
  for (const spelling of [token, ...spellings]) assert.equal(spied.includes(spelling), false, spelling);
  assert.match(spied, /^wget /m);
});

const toOctal = (bytes: Buffer) => [...bytes].map(byte => `\\${byte.toString(8).padStart(3, '0')}`).join('');

test('what is wrong with options and files is said before anything is asked', async () => {
  const server = await startServer(issue());
  const host = await openHost(server.url, 'bash');
  await writeFile(host.at('open'), 'secret\n', { mode: 0o644 });
  await writeFile(
    host.at('odd.conf'),
    '# a file\nserver = http://quarry\n\nname=www.example.org\nnames = x\n',
  );
  await writeFile(host.at('escapes.conf'), 'server = http://quarry\nname = \x1b]0;x\x07 "a"\n');
  const wrong: [string[], RegExp][] = [
    [['--nmae', 'x'], /: --nmae: there is no option "nmae"; see quarry-get --help$/m],
    [['--server'], /: --server: server has no value$/m],
    [['--wait', '5m', 'www.example.org'], /: --wait: wait is no such number: 5m$/m],
    [['--wait=5m', 'www.example.org'], /: --wait: wait is no such number: 5m$/m],
    [
      ['--chain', host.folder, '--server=http://quarry', 'www.example.org'],
      /: www\.example\.org: .* is a folder: name a file$/m,
    ],
    [['--conf', host.at('escapes.conf')], /escapes\.conf: a name is missing, or is none: \]0;x "a"$/m],
    [['--key', 'www.key', 'www.example.org'], /: --key: key must begin with \/$/m],
    [
      ['--server', 'http://quarry', 'www.example.org;id'],
      /: a name is missing, or is none: www\.example\.org;id$/m,
    ],
    [
      ['--pkcs12', host.at('www.p12'), 'www.example.org'],
      /: www\.example\.org: pkcs12 needs pkcs12-password-file beside it$/m,
    ],
    [['www.example.org'], /: the URL of the server is missing, or is none: --server https:/m],
    [
      ['--token-file', host.at('open'), 'www.example.org'],
      /: .*\/open is missing, empty, or open to others: put the secret there, and chmod o= /m,
    ],
    [['--conf', host.at('odd.conf')], /odd\.conf: there is no option "names"; see /m],
    [['--conf', host.at('none.conf')], /none\.conf: cannot be read; quarry-get install writes it$/m],
  ];
  for (const [words, line] of wrong) assertEnded(await host.run(words), 2, line);
  assert.deepEqual(server.asked(), []);
});

test('it installs itself for systemd or for cron, runs at once, and all files at a time', {
  skip,
}, async () => {
  const server = await startServer(async (request, response) =>
    say(200, await certify(request.body, { names: namesOf(request.body) }))(request, response),
  );
  const host = await openHost(server.url);
  await writeFile(host.at('hmac.key'), 'a key\n', { mode: 0o600 });
  const env = await withPrograms({ systemctl: 'echo "systemctl $*"' });
  const secret = host.at('hmac.key');
  const driver = `cp -a /etc etc 2>/dev/null; mkdir bin
mount --bind etc /etc; mount --bind bin /usr/local/bin
mount -t tmpfs none /run && mkdir -p /run/systemd/system credentials
"$@" install --server ${server.url} --hmac-key-file ${secret} --reload 'echo "a  b"' www.example.org || exit
cat /etc/quarry/get.d/*.conf /etc/systemd/system/quarry-get-*
mv hmac.key credentials/hmac-key-file
export CREDENTIALS_DIRECTORY=$PWD/credentials
sh -ec "$(sed -n 's/^ExecStart=//p' /etc/systemd/system/quarry-get-www*.service)"; echo "as a unit: $?"
rm -r /run/systemd; mkdir -p /etc/cron.d
printf '%s\n' '# by hand' 'name = *.example.org' server=${server.url} >/etc/quarry/get.d/own.conf
"$@" install --conf own || exit
cat /etc/cron.d/quarry-get-*
quarry-get; echo "all: $?"
mkdir -p /run/systemd/system
quarry-get uninstall --conf www.example.org && quarry-get uninstall --conf own
echo uninstalled
ls -d /etc/cron.d/quarry-get-* /etc/systemd/system/quarry-get-* 2>/dev/null
ls /etc/quarry/get; ls /etc/quarry/get.d`;
  const { code, stdout, stderr } = await host.run([], { env, through: [...unshare, 'sh', '-c', driver] });
  assert.equal(code, 0, stderr);
  const missing = /^(quarry-get: \S+\.conf: \S+\/hmac\.key is missing, .*\n)$/;
  assert.match(stderr, missing, 'only without its secret');
  const at = (line: string) => assert.ok(stdout.split('\n').includes(line), `${line} in\n${stdout}`);
  at('systemctl -q enable --now quarry-get-www.example.org.timer');
  at(`hmac-key-file = ${host.at('hmac.key')}`);
  at('reload = echo "a  b"');
  at(`LoadCredential=hmac-key-file:${host.at('hmac.key')}`);
  at('RandomizedDelaySec=6h');
  at('as a unit: 0');
  assert.match(stdout, /^\d+ [0-5]-23\/6 \* \* \* root \/usr\/local\/bin\/quarry-get --conf own$/m);
  assert.deepEqual(stdout.match(/^all: .*/gm), ['all: 2']);
  at('systemctl -q disable --now quarry-get-www.example.org.timer');
  const [, left = ''] = stdout.split('uninstalled\n');
  const each = ['wildcard', 'www'].map(name => `${name}.example.org`);
  const made = each.flatMap(name => [`${name}.key`, `${name}.pem`, `${name}.state`]);
  assert.deepEqual(left.trim().split('\n'), [...made, 'own.conf', 'www.example.org.conf']);
  assert.equal(stdout.match(/^a {2}b$/gm)?.length, 2, 'it reloads for each certificate of www.example.org');
});
