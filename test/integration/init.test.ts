import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { formatListener } from '../../shared/config/listener.ts';
import { loadConfig } from '../../shared/setup/load-config.ts';
import { callQuarry } from '../support/call-quarry.ts';
import { freePorts } from '../support/free-port.ts';
import { type Pebble, startPebble } from '../support/pebble.ts';
import { startProcess } from '../support/processes.ts';
import { runQuarryIn } from '../support/run-quarry.ts';
import { tempDir } from '../support/temp-dir.ts';
import { tlsAuthority } from '../support/tls-authority.ts';
import { waitUntil } from '../support/wait-until.ts';

const launcher = join(import.meta.dirname, '../../services/cli/quarry.js');

/** `quarry init` at a terminal of its own, in a folder. */
function atTerminal(folder: string, words: string[]) {
  const command = [process.execPath, launcher, 'init', ...words].map(word => `'${word}'`).join(' ');
  // It makes a pseudo-terminal, and types what comes in.
  const child: ChildProcess = spawn('script', ['-qfec', command, '/dev/null'], { cwd: folder });
  let [output, read] = ['', 0];
  child.stdout?.setEncoding('utf8').on('data', text => {
    output += text;
  });
  const ended = once(child, 'exit').then(([code]) => code as number);
  return {
    ended,
    output: () => output,
    /** Types a line once this has been shown, after what was typed before. */
    async type(shown: RegExp, line: string): Promise<void> {
      await waitUntil(`${shown}`, () => shown.test(output.slice(read)) || child.exitCode !== null);
      assert.match(output.slice(read), shown);
      read = output.length;
      child.stdin?.write(`${line}\n`);
    },
  };
}

/**
 * Runs lines as a person at a host would who may do everything there, with folders of the host's own in place
 * of this machine's.
 *
 * @returns what is in `file` then
 */
async function runOnHost(folder: string, lines: string, file: string): Promise<string> {
  const script = `mkdir etc bin && cp -a /etc/. etc 2>/dev/null || :
mount --bind etc /etc && mount --bind bin /usr/local/bin
printf '#!/bin/sh\\necho "$*" >>%s/called\\n' "$PWD" >systemctl && chmod 755 systemctl
PATH="$PWD:$PATH"
${lines.replaceAll(' sudo ', ' ')}
cat ${file}`;
  const rights = process.getuid?.() === 0 ? [] : ['--map-root-user'];
  const run = promisify(execFile)('unshare', ['--mount', ...rights, 'sh', '-euc', script], { cwd: folder });
  return (await run).stdout.replace(/^[^-]*(?=-----BEGIN)/, '');
}

suite('quarry init, and a CA that is there', () => {
  const stack = new AsyncDisposableStack();
  after(() => stack.disposeAsync());
  let folder: string;
  let pebble: Pebble;
  let ports: { intake: number; responder: number; admin: number };
  before(async () => {
    const [intake, responder, admin] = (await freePorts(3)) as [number, number, number];
    ports = { intake, responder, admin };
    pebble = stack.use(await startPebble({ httpPort: responder }));
    folder = stack.use(await tempDir()).path;
  });

  test('a newcomer answers at a terminal, not always well, and gets a certificate by the file', async () => {
    const terminal = atTerminal(folder, ['--listen', `127.0.0.1:${ports.intake}`]);
    await terminal.type(/1\/5[\s\S]*> /, 'me');
    await terminal.type(/me: is no e-mail address[\s\S]*> /, 'me@example.org');
    await terminal.type(/2\/5[\s\S]*> /, pebble.directoryUrl);
    await terminal.type(/root certificate[\s\S]*> /, pebble.caFile);
    await terminal.type(/terms of service: data:text\/plain,Do%20what%20thou%20wilt[\s\S]*\[y\/N\] /, 'y');
    await terminal.type(/3\/5[\s\S]*> /, '*');
    await terminal.type(/would admit every name[\s\S]*> /, 'www.example.org');
    await terminal.type(/4\/5[\s\S]*> /, '');
    await terminal.type(/The port[\s\S]*> /, `${ports.responder}`);
    await terminal.type(/5\/5[\s\S]*> /, '');
    assert.equal(await terminal.ended, 0, terminal.output());

    const file = join(folder, 'main.ini');
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const { code, stdout } = await callQuarry(['check', file]);
    assert.equal(code, 0);
    assert.doesNotMatch(stdout, /warning/);
    await writeFile(join(folder, 'admin.ini'), `[admin]\nlistener = 127.0.0.1:${ports.admin}\n`);
    stack.use(
      await startProcess(process.execPath, [launcher, 'up', 'main.ini', 'admin.ini'], {
        ...{ name: 'quarry', cwd: folder },
        ready: async () => (await fetch(`http://127.0.0.1:${ports.admin}/readyz`)).ok,
      }),
    );
    const lines =
      /^On this machine:\n((?: {4}.*\n)+)/m.exec(terminal.output().replaceAll('\r', ''))?.[1] ?? '';
    assert.match(lines, /^ {4}curl [\s\S]*^ {4}(sudo )?sh quarry-get install .* www\.example\.org$/m);
    const chain = await runOnHost(folder, lines, '/etc/quarry/get/www.example.org.pem');
    assert.equal(new X509Certificate(chain).subjectAltName, 'DNS:www.example.org');
    assert.match(await readFile(join(folder, 'called'), 'utf8'), /^reload nginx$/m);
  });

  test('run again it says what is there, and changes nothing but by --force, which keeps keys and a copy', async () => {
    const file = join(folder, 'main.ini');
    const first = await readFile(file, 'utf8');
    const same = await runQuarryIn(folder, ['init']);
    assert.deepEqual([same.code, same.stderr], [0, '']);
    assert.match(
      same.stdout,
      /^\S+main\.ini is there already: CA https:\S+, names www\.example\.org, proof http, clients this-machine\.\n/,
    );
    assert.match(same.stdout, /^It says all that already\.$/m);

    const other = await runQuarryIn(folder, ['init', '--clients', 'key']);
    assert.equal(other.code, 1);
    assert.match(other.stderr, /^quarry: nothing is changed: with --force it is written anew; /);
    assert.equal(await readFile(file, 'utf8'), first);

    const forced = await runQuarryIn(folder, ['init', '--clients', 'key', '--force']);
    assert.equal(forced.code, 0, forced.stderr);
    const second = await readFile(file, 'utf8');
    const [, copy = ''] = /^What it said before is in (\S+)$/m.exec(forced.stdout) ?? [];
    assert.equal(await readFile(copy, 'utf8'), first);
    const [key = ''] = /^hmac_key = .+$/m.exec(second) ?? [];
    assert.equal(key.length, 'hmac_key = '.length + 44);
    assert.ok(!forced.stdout.includes(key.slice('hmac_key = '.length)), 'a key is never shown');

    // At a terminal, what is there answers for itself.
    const terminal = atTerminal(folder, []);
    await terminal.type(/is there already: .*[\s\S]*\[y\/N\] /, 'y');
    await terminal.type(/1\/5[\s\S]*\[me@example\.org\] > /, '');
    await terminal.type(/2\/5[\s\S]*\[https:.*\] > /, '');
    await terminal.type(/3\/5[\s\S]*\[www\.example\.org\] > /, '');
    await terminal.type(/4\/5[\s\S]*\[http\] > /, '');
    await terminal.type(new RegExp(`The port[\\s\\S]*\\[${ports.responder}\\] > `), '');
    await terminal.type(/5\/5[\s\S]*\[key\] > /, 'token');
    assert.equal(await terminal.ended, 0, terminal.output());
    assert.match(terminal.output(), /^ {2}kept +\[auth "hosts"\]\r$/m);
    assert.ok((await readFile(file, 'utf8')).includes(key));
  });
});

test('without a terminal it ends with code 2 and the options that are missing', async () => {
  await using dir = await tempDir();
  const { code, stderr } = await runQuarryIn(dir.path, ['init']);
  assert.equal(code, 2);
  assert.match(stderr, /^quarry: there is no terminal to ask at: give --email ADDRESS, --ca .*\n$/);
});

test('--compose writes main.ini for the containers, and which file and ports the stack takes', async () => {
  await using dir = await tempDir();
  await copyFile(join(import.meta.dirname, '../../compose.yaml'), join(dir.path, 'compose.yaml'));
  const root = (await tlsAuthority()).caFile;
  const ca = ['--ca', 'http://127.0.0.1:1/dir', '--accept-terms', '--ca-file', root];
  const answers = ['--email', 'none', '--name', 'www.example.org', '--prove', 'http', '--port', '8080'];
  const ended = await runQuarryIn(dir.path, ['init', '--compose', ...ca, ...answers, '--clients', 'key']);
  assert.equal(ended.code, 0, ended.stderr);
  assert.match(ended.stdout, /^ {4}docker compose up -d$/m);
  const file = join(dir.path, 'main.ini');
  const { mode, uid } = await stat(file);
  const own = process.getuid?.();
  assert.deepEqual([mode & 0o777, uid], [0o600, own === 0 ? 1000 : own], 'the user of the containers');
  const copy = join(dir.path, 'ca.pem');
  const env = { QUARRY_CA_FILE: copy };
  const { accounts, mgmt, secretFile, verifications } = await loadConfig([file], env);
  assert.equal(accounts.get('default')?.caFile, copy, 'for which the containers have a path of their own');
  assert.equal(await readFile(copy, 'utf8'), await readFile(root, 'utf8'));
  assert.equal((await stat(copy)).mode & 0o777, 0o644, 'for their user, too');
  assert.deepEqual(mgmt.listeners.map(formatListener), ['0.0.0.0:1313']);
  assert.equal(secretFile, '/var/lib/quarry/installation/installation.key');
  const [http] = verifications.values();
  assert.ok(http && 'listeners' in http && http.listeners.every(({ port }) => port === 1380));
  assert.equal(
    await readFile(join(dir.path, '.env'), 'utf8'),
    'QUARRY_CONFIG=./main.ini\nQUARRY_CA_FILE=./ca.pem\nQUARRY_PORT=1313\nQUARRY_HTTP_PORT=8080\n',
  );
  const again = await runQuarryIn(dir.path, ['init', '--compose', '--yes', '--accept-terms']);
  assert.deepEqual([again.code, again.stderr], [0, '']);
  assert.match(again.stdout, /^It says all that already\.$/m);
});

test('who goes away in the middle has written nothing', async () => {
  await using dir = await tempDir();
  const terminal = atTerminal(dir.path, []);
  await terminal.type(/1\/5[\s\S]*> /, '\u0003');
  assert.equal(await terminal.ended, 1);
  assert.match(terminal.output(), /quarry: nothing is written/);
  await assert.rejects(stat(join(dir.path, 'main.ini')), { code: 'ENOENT' });
});
