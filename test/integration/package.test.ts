import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { globSync, readFileSync, statSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { basename, delimiter, dirname, join } from 'node:path';
import { after, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { VERSION } from '../../shared/base/version.ts';
import { findCommand } from '../support/find-command.ts';
import { freePort } from '../support/free-port.ts';
import { readBlocks } from '../support/pages.ts';
import { startPebble } from '../support/pebble.ts';
import { startProcess } from '../support/processes.ts';
import { provision } from '../support/provision.ts';
import { tempDir } from '../support/temp-dir.ts';

const root = join(import.meta.dirname, '../..');
const stack = new AsyncDisposableStack();
after(() => stack.disposeAsync());
const { path } = stack.use(await tempDir());
const [packed, folder] = [join(path, 'packed'), join(path, 'empty')];
await Promise.all([mkdir(packed), mkdir(folder)]);

/** With the Node that runs the tests first, as a user of Node 24 has it. */
const env = {
  ...process.env,
  XDG_CACHE_HOME: join(path, 'cache'),
  PATH: [dirname(process.execPath), process.env.PATH].join(delimiter),
};
async function run(program: string, args: string[], cwd = folder, more = {}): Promise<string> {
  const running = promisify(execFile)(program, args, {
    cwd,
    env: { ...env, ...more },
    maxBuffer: 16 * 1024 * 1024,
  });
  const { stdout } = await running.catch(error =>
    Promise.reject(new Error(`${error.stderr}\n${error.stdout}`)),
  );
  return stdout;
}

/** Those of the library's page, in their order. */
function readPrograms(): string[] {
  const path = 'shared/library/library.md';
  const blocks = readBlocks({ path, text: readFileSync(join(root, path), 'utf8') });
  return blocks.filter(({ language }) => language === 'js').map(({ text }) => text);
}

suite('the package', async () => {
  await run('npm', ['pack', '--silent', '--pack-destination', packed], root);
  const [tarball = ''] = await readdir(packed);
  const prefix = join(path, 'global');
  const quiet = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
  // As services/docs/operation.md has it.
  await run('npm', ['install', '--global', '--prefix', prefix, ...quiet, join(packed, tarball)]);
  // A program's folder, which imports it as if it were installed there.
  await symlink(join(prefix, 'lib/node_modules'), join(folder, 'node_modules'));
  const installed = join(folder, 'node_modules/quarry');
  const quarry = join(prefix, 'bin/quarry');
  /** Those of the package, without its modules. */
  const listFiles = async () =>
    (await readdir(installed, { recursive: true })).filter(file => !file.startsWith('node_modules'));

  test('holds compiled JavaScript and declarations, and no TypeScript source, test or configuration', async () => {
    const files = await listFiles();
    const sources = files.filter(file => file.endsWith('.ts') && !file.endsWith('.d.ts'));
    assert.deepEqual(sources, []);
    assert.deepEqual((await readdir(installed)).filter(name => name !== 'node_modules').sort(), [
      ...['CHANGELOG.md', 'LICENSE', 'README.md', 'dist', 'package.json', 'services', 'shared'],
    ]);
    assert.deepEqual((await readdir(join(installed, 'dist'))).sort(), ['package.json', 'services', 'shared']);
    assert.ok(files.includes('dist/shared/library/index.d.ts'));
    // What writes the pages has no use without a checkout.
    assert.deepEqual(
      files.filter(file => /^dist\/services\/(docs\/|cli\/write-docs)/.test(file)),
      [],
    );
  });

  test('holds the pages, and beside the code what Quarry hands out or installs as it is', async () => {
    const files = await listFiles();
    for (const file of ['services/cli/systemd.md', 'services/main.ini'])
      assert.ok(files.includes(file), file);
    const asIs = globSync('services/**/*', { cwd: root, exclude: ['services/cli/quarry*'] })
      .filter(file => !/\.(ts|md)$/.test(file) && statSync(join(root, file)).isFile())
      .map(file => [join('dist', file), statSync(join(root, file)).mode & 0o111]);
    assert.ok(asIs.length > 0);
    const modes = asIs.map(([file]) => [file, statSync(join(installed, `${file}`)).mode & 0o111]);
    assert.deepEqual(modes, asIs);
  });

  test('brings the quarry-get command', async () => {
    const told = await run(join(prefix, 'bin/quarry-get'), ['--help']).catch(String);
    assert.match(told, /quarry-get: gets a certificate for this host/);
  });

  test('brings the quarry command', async () => {
    assert.equal(await run(quarry, ['--version']), `${VERSION}\n`);
    assert.match(await run(quarry, ['acme', 'key', '--help']), /^quarry acme key\|keys create PATH\n/);
    await writeFile(
      join(folder, 'main.ini'),
      '[account]\ndir = account\n[auth a]\nall = yes\ndomain = *.example.org\n',
    );
    assert.match(await run(quarry, ['check', 'main.ini']), /configuration is good\n$/);
  });

  test('starts all roles by one command, and hands quarry-get out, with the Node that npm brought, where the machine has none', async () => {
    const tools = join(path, 'tools');
    await mkdir(tools);
    const { 'redis-server': redis } = await provision(['redis-server']);
    for (const tool of [redis, ...['sh', 'dirname', 'readlink'].map(name => findCommand(name) ?? name)])
      await symlink(tool, join(tools, basename(tool)));

    const [intake, admin, responder] = [await freePort(), await freePort(), await freePort()];
    const ini = `[account]
dir = account
acme-server = http://127.0.0.1:1/
accept-terms-of-service = yes
[mgmt]
listener = 127.0.0.1:${intake}
[admin]
listener = 127.0.0.1:${admin}
[verification http]
type = http01
listener = 127.0.0.1:${responder}
[auth a]
ip = 127.0.0.1
domain = *.example.org
[redis]
dir = redis
`;
    await writeFile(join(folder, 'up.ini'), ini);
    const post = () => fetch(`http://127.0.0.1:${intake}/sign`, { method: 'POST', body: 'no CSR' });
    await using up = await startProcess(quarry, ['up', 'up.ini'], {
      name: 'quarry up',
      cwd: folder,
      env: { PATH: tools },
      ready: async () => (await post()).status === 415,
    });
    const script = await (await fetch(`http://127.0.0.1:${intake}/quarry-get`)).text();
    assert.ok(script.includes(`http://127.0.0.1:${intake}`) && script.startsWith('#!/bin/sh\n'));
    assert.match(await readlink(`/proc/${up.pid}/exe`), /\/node-linux-\w+\/bin\/node$/);
  });

  test("a strict compiler reads its declarations, and a program issues with it against the CA's own checks", async () => {
    await copyFile(join(import.meta.dirname, 'package/consumer.ts'), join(folder, 'consumer.ts'));
    await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
    const compilerOptions = {
      ...{ strict: true, noEmit: true, skipLibCheck: false, module: 'nodenext', target: 'es2024' },
      ...{
        lib: ['es2024', 'esnext.disposable', 'dom'],
        types: ['node'],
        typeRoots: [join(root, 'node_modules/@types')],
      },
    };
    await writeFile(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: ['consumer.ts'] }),
    );
    await run(join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.json']);

    const port = await freePort();
    await using pebble = await startPebble({ httpPort: port });
    const printed = await run(process.execPath, [
      'consumer.ts',
      pebble.directoryUrl,
      pebble.caFile,
      `${port}`,
    ]);
    const { chain, window, revoked, stranger, fault, obtained, status, found } = JSON.parse(printed);
    assert.equal(new X509Certificate(chain).subjectAltName, 'DNS:www.example.org');
    assert.ok(window.start < window.end && window.askAgain > Date.now());
    assert.deepEqual([revoked, stranger, fault], [true, null, 'gone']);
    assert.equal(new X509Certificate(obtained.chain).subjectAltName, 'DNS:www.example.org');
    assert.match(obtained.certificate, /^https:/);
    assert.deepEqual([status, found], ['ready', true]);
  });

  test("runs the first program of the library's page as it stands there, which has at most 20 lines", async () => {
    const [program = ''] = readPrograms();
    assert.ok(program.trim().split('\n').length <= 20);
    const port = await freePort();
    await using pebble = await startPebble({ httpPort: port });
    await writeFile(join(folder, 'first.mjs'), program);
    const words = ['first.mjs', 'first.example.org', pebble.directoryUrl, `${port}`];
    await run(process.execPath, words, folder, { NODE_EXTRA_CA_CERTS: pebble.caFile });
    const file = await readFile(join(folder, 'first.example.org.pem'), 'utf8');
    const leaf = new X509Certificate(file.slice(file.indexOf('-----BEGIN CERTIFICATE')));
    assert.equal(leaf.subjectAltName, 'DNS:first.example.org');
    assert.ok(leaf.checkPrivateKey(createPrivateKey(file)));
  });

  test("runs the steps of the library's page, with another CA and something that serves", async () => {
    const [, program = ''] = readPrograms();
    const port = await freePort();
    await using pebble = await startPebble({ httpPort: port });
    const changed = program.replace(/^const directory = .*$/m, 'const directory = process.argv[2];');
    assert.notEqual(changed, program);
    const before = `import { createServer } from 'node:http';
const served = new Map();
createServer(({ url }, response) => response.end(served.get(url))).listen(${port}, '127.0.0.1').unref();
const serve = async (token, body) => served.set(\`/.well-known/acme-challenge/\${token}\`, body);
`;
    const after = 'console.log(JSON.stringify({ chain, start, end }));\n';
    await writeFile(join(folder, 'steps.mjs'), before + changed + after);
    const trust = { NODE_EXTRA_CA_CERTS: pebble.caFile };
    const printed = await run(process.execPath, ['steps.mjs', pebble.directoryUrl], folder, trust);
    const { chain, start, end } = JSON.parse(printed);
    assert.equal(new X509Certificate(chain).subjectAltName, 'DNS:www.example.org');
    assert.ok(start < end);
  });

  test('says by its exports what is its interface', async () => {
    const ask = 'import("quarry").catch(error => console.log(error.code))';
    assert.equal(await run(process.execPath, ['-e', ask]), 'ERR_PACKAGE_PATH_NOT_EXPORTED\n');
    const manifest = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8'));
    assert.equal(manifest.engines.node, '>=24.5');
  });
});
