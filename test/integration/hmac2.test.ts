import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { ask } from '../support/ask.ts';
import { assertChain } from '../support/chain.ts';
import { docs, shownCommands, writeRecipe } from '../support/docs.ts';
import { findCommand } from '../support/find-command.ts';
import { startFleet } from '../support/fleet.ts';
import { provision } from '../support/provision.ts';
import { tempDir } from '../support/temp-dir.ts';

// HMAC version 2 by the commands of the page for hosts, letter for letter but for the host and port of the
// server, and what whoever reads along makes of their requests.

const key = 'A1YP67armNf3cBrecyJHdb035';
const { busybox } = await provision(['busybox', 'curl', 'openssl', 'wget']);
const fleet = await startFleet({
  roles: ['intake', 'intake', 'worker', 'responder'],
  blocks: `[storage "shared"]
type = redis
[auth "web"]
hmac_type = sha256
hmac_key = another-key-of-the-block
hmac_key = ${key}
hmac = v2
domain = example.org
domain = *.example.org
`,
});
after(() => fleet[Symbol.asyncDispose]());
const intakes = fleet.all('intake').map(({ url }) => url);

const makeKeyFile = /`(\(umask 077; echo [^`]*>quarry\.key\))`/.exec(docs)?.[1] ?? '';
const makeRequest = shownCommands('-keyout www.key');
const byCurl = shownCommands('"$(hmac2 POST /sign www.csr)" \\\n  http://quarry:1313/sign -o');
const byWget = shownCommands('wget -q');
const revoke = shownCommands("hmac2 POST '/revoke");

const shells: [name: string, command: string[]][] = [
  ['dash', ['dash']],
  ['bash', ['bash']],
  ['bash as sh', ['bash', '--posix']],
  ["busybox's ash", [busybox, 'ash']],
];

/** A folder of a host that has done what the page says once, and how it runs a script there. */
async function openHost([program = '', ...words]: string[] = ['sh'], env: NodeJS.ProcessEnv = process.env) {
  const dir = await tempDir();
  after(() => dir[Symbol.asyncDispose]());
  const run = async (script: string) => {
    const here = script.replaceAll('http://quarry:1313', intakes[0] ?? '');
    return promisify(execFile)(program, [...words, '-c', here], { cwd: dir.path, env });
  };
  await run(makeKeyFile);
  await run(makeRequest);
  await writeRecipe(dir.path);
  const read = (file: string) => readFile(join(dir.path, file), 'utf8');
  return { dir, run, read };
}

for (const [name, command] of shells)
  suite(`the recipe for hosts in ${name}`, () => {
    test('gets a certificate with curl, and again with wget, and has it revoked', async () => {
      const host = await openHost(command);
      assert.equal((await host.run('ls -l quarry.key')).stdout.slice(0, 10), '-rw-------');
      const { stdout } = await host.run(byCurl);
      assert.equal(stdout, '');
      const chain = await host.read('www.pem');
      const expected = { names: ['example.org', 'www.example.org'], keyPem: await host.read('www.key') };
      assertChain(chain, { ...expected, rootPem: await fleet.pebble.rootPem() });
      await rm(join(host.dir.path, 'www.pem'));
      await host.run(byWget);
      assert.equal(await host.read('www.pem'), chain, 'from storage');
      assert.equal((await host.run(revoke)).stdout, 'revoked\n');
      assert.deepEqual(await fleet.pebble.certificateStatus(chain), { status: 'Revoked', reason: 1 });
    });

    test('is what quarry-get does, as the intake hands it out', async () => {
      const host = await openHost(command);
      const at = (file: string) => join(host.dir.path, file);
      const files = `--key ${at('get.key')} --chain ${at('get.pem')} --hmac-key-file ${at('quarry.key')}`;
      await host.run('curl -fsS http://quarry:1313/quarry-get -o quarry-get');
      const { stdout } = await host.run(`${command.join(' ')} quarry-get ${files} get.example.org`);
      assert.equal(
        stdout,
        `get.example.org: a new certificate is in ${at('get.pem')}, its key in ${at('get.key')}\n`,
      );
      const expected = { names: ['get.example.org'], keyPem: await host.read('get.key') };
      const chain = (await host.read('get.pem')).replaceAll('-\n-', '-\n\n-');
      assertChain(chain, { ...expected, rootPem: await fleet.pebble.rootPem() });
    });

    test('fetches a result', async () => {
      const host = await openHost(command);
      const post = byCurl.replace('-H "$(', '-H "Prefer: respond-async" -i -H "$(');
      assert.notEqual(post, byCurl);
      await host.run(post);
      const [, path = ''] = /^Location: (.*)\r$/im.exec(await host.read('www.pem')) ?? [];
      const [, header = ''] = /`(-H "\$\(hmac2 GET [^`]*)`/.exec(docs) ?? [];
      const own = header.replace(/\/sign\/[0-9a-f-]+/, path);
      assert.ok(own.includes(path) && path !== '', header);
      const fetch = `. ./hmac2.sh; curl -sS --fail-with-body -H 'Prefer: wait=60' ${own} http://quarry:1313${path}`;
      assert.match((await host.run(fetch)).stdout, /^-----BEGIN CERTIFICATE-----/);
    });

    test('computes the HMAC of whatever key and body there is', async () => {
      const host = await openHost(command);
      const keys = ['a', 'y6j\\V<%s%%d$"\'', 'schlüssel €', 'k'.repeat(64), '0123456789abcdef'.repeat(3)];
      for (const one of keys) {
        await writeFile(join(host.dir.path, 'quarry.key'), `${one}\n`);
        const body = Buffer.from('\0 %s \\n\xff\n\n', 'latin1');
        await writeFile(join(host.dir.path, 'body'), body);
        const { stdout } = await host.run('. ./hmac2.sh; keyed <body');
        assert.equal(stdout, `${createHmac('sha256', one).update(body).digest('hex')}\n`, one);
      }
    });
  });

test('no program that the recipe runs has the key among its arguments or in its environment', async () => {
  const spies = await tempDir();
  after(() => spies[Symbol.asyncDispose]());
  const log = join(spies.path, 'log');
  const folder = join(spies.path, 'bin');
  await mkdir(folder);
  for (const name of ['openssl', 'curl', 'od', 'tr', 'head', 'cut', 'date', 'cat', 'mv', 'printf', 'echo']) {
    const spy = `#!/bin/sh\n{ echo "${name} $*"; env; } >>${log}\nexec ${findCommand(name)} "$@"\n`;
    await writeFile(join(folder, name), spy);
    await chmod(join(folder, name), 0o755);
  }
  for (const [name, command] of shells) {
    const [program] = command;
    const host = await openHost(command, { ...process.env, PATH: `${folder}:${process.env.PATH}` });
    await writeFile(log, '');
    await host.run(byCurl);
    const seen = await readFile(log, 'utf8');
    // The shell of Debian's busybox-static is od itself: then there is nothing to be seen.
    const runsOd = (await host.run('command -v od')).stdout === `${join(folder, 'od')}\n`;
    assert.ok(runsOd || program === busybox, name);
    for (const one of ['openssl dgst -sha256 -binary', 'curl ', ...(runsOd ? ['od '] : [])])
      assert.ok(seen.includes(one), name);
    const bytes = Buffer.from(key);
    const pads = [0, 54, 92].map(pad => Buffer.from(bytes.map(byte => byte ^ pad)));
    const octal = (pad: Buffer) => [...pad].map(byte => `\\${byte.toString(8).padStart(3, '0')}`).join('');
    const spellings = pads.flatMap(pad => [
      ...[pad.toString('latin1'), pad.toString('hex'), pad.toString('base64'), octal(pad)],
    ]);
    for (const spelling of spellings) assert.equal(seen.includes(spelling), false, name);
  }
});

suite('who reads a request along', () => {
  /** A request as a host sends it, to whichever intake. */
  async function captured() {
    const host = await openHost();
    const { stdout } = await host.run('. ./hmac2.sh; hmac2 POST /sign www.csr');
    const [, value = ''] = /^Authentication: (.*)\n$/.exec(stdout) ?? [];
    const headers = { Authentication: value };
    fleet.secrets.add(/hash=(\w+)/.exec(value)?.[1] ?? '');
    const csr = await host.read('www.csr');
    return {
      csr,
      async send(url = intakes[0], { path = '/sign', body = csr, method = 'POST' } = {}) {
        const answer = await ask(`${url}${path}`, { method, headers, ...(method === 'POST' && { body }) });
        return `${answer.status} ${answer.body}`;
      },
    };
  }
  const replayed =
    '403 a request with this nonce came before: sign each request anew, with a nonce of its own\n';
  const mismatch =
    '403 the HMAC does not match; compare the keys, and send the file as it was signed (curl --data-binary, not -d)\n';

  test('sends it a thousand times more, as it was or changed, and is refused each time', async () => {
    const { csr, send } = await captured();
    assert.match(await send(), /^200 -----BEGIN/);
    const orders = fleet.orders();
    for (let round = 0; round < 100; round++)
      for (const url of intakes) {
        assert.equal(await send(url), replayed);
        assert.equal(await send(url, { body: `${csr}\n` }), mismatch);
        assert.equal(await send(url, { path: '/revoke' }), mismatch);
        assert.equal(await send(url, { path: '/sign?again' }), mismatch);
        const fetch = { method: 'GET', path: '/sign/0f8fad5b-d9cb-469f-a165-70867728950e' };
        assert.equal(await send(url, fetch), '404 no such result\n');
      }
    assert.equal(fleet.orders(), orders);
  });

  test('sends it to another intake at the same time: one of the two takes it', async () => {
    for (let round = 0; round < 8; round++) {
      const { send } = await captured();
      const answers = await Promise.all([...intakes, ...intakes].map(url => send(url, {})));
      assert.equal(answers.filter(answer => answer === replayed).length, 3, answers.join(''));
      assert.equal(answers.filter(answer => answer.startsWith('200 ')).length, 1, answers.join(''));
    }
  });
});
