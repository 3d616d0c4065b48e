import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { after, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { VERSION } from '../../shared/base/version.ts';
import { freePort } from '../support/free-port.ts';
import { startPebble } from '../support/pebble.ts';
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
async function readPrograms(): Promise<string[]> {
  const page = await readFile(join(root, 'shared/library/library.md'), 'utf8');
  return [...page.matchAll(/^```js\n(.*?)^```$/gms)].map(([, program = '']) => program);
}

suite('the package', async () => {
  await run('npm', ['pack', '--silent', '--pack-destination', packed], root);
  const [tarball = ''] = await readdir(packed);
  // Node itself, an optional package for machines whose own is older, is left out: this one is right.
  const quiet = ['--omit=optional', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
  await run('npm', ['install', ...quiet, join(packed, tarball)]);
  const installed = join(folder, 'node_modules/quarry');

  test('holds compiled JavaScript and declarations, and no TypeScript source, test or configuration', async () => {
    const files = await readdir(installed, { recursive: true });
    const sources = files.filter(file => file.endsWith('.ts') && !file.endsWith('.d.ts'));
    assert.deepEqual(sources, []);
    assert.deepEqual((await readdir(installed)).sort(), [
      ...['LICENSE', 'README.md', 'dist', 'package.json', 'services'],
    ]);
    assert.deepEqual((await readdir(join(installed, 'dist'))).sort(), ['package.json', 'services', 'shared']);
    assert.ok(files.includes('dist/shared/library/index.d.ts'));
  });

  test('brings the quarry command', async () => {
    const quarry = join(folder, 'node_modules/.bin/quarry');
    assert.equal(await run(quarry, ['--version']), `${VERSION}\n`);
    assert.match(await run(quarry, ['acme', 'key', '--help']), /^quarry acme key\|keys create PATH\n/);
    await writeFile(
      join(folder, 'main.ini'),
      '[account]\ndir = account\n[auth a]\nall = yes\ndomain = *.example.org\n',
    );
    assert.match(await run(quarry, ['check', 'main.ini']), /configuration is good\n$/);
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
    const [program = ''] = await readPrograms();
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
    const [, program = ''] = await readPrograms();
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
