import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { access, readFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { isAbsolute, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { suite, test } from 'node:test';
import { promisify } from 'node:util';
import { ask } from '../support/ask.ts';
import { makeCsr } from '../support/csr.ts';
import { findLeaks, thumbprint } from '../support/fleet.ts';
import { freePort, freePorts } from '../support/free-port.ts';
import { listen } from '../support/listen.ts';
import { startPebble } from '../support/pebble.ts';
import { startProcess } from '../support/processes.ts';
import { provision } from '../support/provision.ts';
import { startRedis } from '../support/redis.ts';
import { startTcpFront } from '../support/tcp-front.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

const run = promisify(execFile);
const node = process.execPath;

/** Neither running nor, where /proc tells, a zombie that nobody has waited for. */
async function isGone(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return true;
  }
  const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return / Z /.test(state);
}

/** Sends one inline Redis command and answers what comes back. */
async function askRedis(port: number, command: string): Promise<string> {
  const socket = createConnection(port, '127.0.0.1');
  socket.write(`${command}\r\nQUIT\r\n`);
  return (await text(socket)).replace(/\+OK\r\n$/, '').trim();
}

/**
 * A test process in the middle of its work: it has started Redis, prints its pid, and goes on with `then`.
 * Its temporary folders are in `dir`.
 */
async function startTestProcess(then: string, dir: string) {
  const redis = JSON.stringify(join(import.meta.dirname, '../support/redis.ts'));
  const script = `const { startRedis } = await import(${redis});
    const redis = await startRedis();
    console.log('redis=' + redis.pid + ';');
    ${then}`;
  const child = await startProcess(node, ['--input-type=module', '-e', script], {
    name: 'test',
    ready: /redis=\d+;/,
    env: { TMPDIR: dir },
  });
  return { child, redisPid: Number(/redis=(\d+);/.exec(child.output())?.[1]) };
}

suite('provision()', () => {
  test('finds every program, without a word when all is there', async () => {
    const said: string[] = [];
    await provision();
    const tools = await provision(undefined, line => said.push(line));
    for (const name of [
      'redis-server',
      'pebble',
      'pebble-challtestsrv',
      'openssl',
      'curl',
      'wget',
      'nginx',
      'zsh',
    ] as const)
      assert.ok(tools[name], name);
    for (const path of Object.values(tools)) assert.ok(isAbsolute(path), path);
    assert.deepEqual(
      said.filter(line => !line.includes('older')),
      [],
    );
  });

  test('stops with one line that says what to install where it cannot', async () => {
    const script = join(import.meta.dirname, '../support/provision.ts');
    await using empty = await tempDir();
    const env = { PATH: empty.path, HOME: empty.path };
    const failure = await run(
      node,
      [
        '-e',
        `process.getuid = () => 1; await import(${JSON.stringify(script)})
      .then(({ provision }) => provision(['redis-server', 'curl']));`,
      ],
      { env },
    ).catch(error => error);
    assert.match(
      failure.stderr,
      /Error: install redis-server, curl \(Debian: apt-get install redis-server curl\)/,
    );
  });
});

suite('freePort()', () => {
  test('never hands out a port twice', async () => {
    const ports = await freePorts(100);
    assert.equal(new Set([...ports, await freePort()]).size, 101);
  });
});

suite('startRedis()', () => {
  test('starts a Redis that never evicts and keeps its data over kill and restart with appendonly', async () => {
    await using redis = await startRedis({ appendonly: true });
    assert.match(await askRedis(redis.port, 'CONFIG GET maxmemory-policy'), /noeviction/);
    await askRedis(redis.port, 'SET name quarry');
    await redis.kill();
    await assert.rejects(askRedis(redis.port, 'GET name'), { code: 'ECONNREFUSED' });
    await redis.restart();
    assert.match(await askRedis(redis.port, 'GET name'), /quarry/);
  });

  test('forgets at a restart without appendonly', async () => {
    await using redis = await startRedis();
    await askRedis(redis.port, 'SET name quarry');
    await redis.restart();
    assert.equal(await askRedis(redis.port, 'GET name'), '$-1');
  });
});

suite('startPebble()', () => {
  test('answers over its own CA, and a restart forgets', async () => {
    await using pebble = await startPebble({
      httpPort: await freePort(),
      env: { PEBBLE_ALTERNATE_ROOTS: '1' },
    });
    const { curl } = await provision(['curl']);
    const { stdout } = await run(curl, ['-sS', '--fail', '--cacert', pebble.caFile, pebble.directoryUrl]);
    assert.match(JSON.parse(stdout).newOrder, /^https:\/\/127\.0\.0\.1:/);
    assert.ok(pebble.requestLog().includes('GET /dir'));

    const roots = await pebble.rootPem();
    const [first, second] = roots.match(/-----BEGIN.+?END CERTIFICATE-----/gs) ?? [];
    for (const root of [first, second]) assert.ok(new X509Certificate(root ?? '').ca);
    await pebble.kill();
    await pebble.restart();
    assert.notEqual(await pebble.rootPem(), roots);
    await run(curl, ['-sS', '--fail', '--cacert', pebble.caFile, pebble.directoryUrl]);
  });

  test('resolves names as challtestsrv is told', async () => {
    await using pebble = await startPebble({ httpPort: await freePort() });
    const body = JSON.stringify({ host: 'elsewhere.example.', addresses: ['127.0.0.2'] });
    const answer = await fetch(`${pebble.challtestsrvUrl}/add-a`, { method: 'POST', body });
    assert.equal(answer.status, 200);
  });
});

suite('makeCsr()', () => {
  test('makes CSRs of every kind that openssl verifies', async () => {
    const { openssl } = await provision(['openssl']);
    const wanted = [
      [
        { names: ['a.example', '*.b.example'], key: 'rsa' },
        /CN = a\.example.*2048 bit.*DNS:a\.example, DNS:\*\.b\.example/s,
      ],
      [{ names: ['a.example'], ips: ['192.0.2.1', '2001:db8::1'] }, /P-256.*IP Address:192\.0\.2\.1/s],
      [{ names: ['a.example'], key: 'p384', commonName: 'c.example' }, /CN = c\.example.*P-384/s],
      [{ names: ['a.example'], key: 'p521', commonName: false }, /Subject:\s*\n.*P-521/s],
      [{ names: [`${'a.'.repeat(32)}example`] }, /Subject:\s*\n.*DNS:a\.a\./s],
    ] as const;
    for (const [{ names, ...options }, expected] of wanted) {
      const { csrFile, csrPem, keyPem } = await makeCsr({ names: [...names], ...options } as Parameters<
        typeof makeCsr
      >[0]);
      const { stdout, stderr } = await run(openssl, ['req', '-in', csrFile, '-noout', '-text', '-verify']);
      assert.match(stdout, expected);
      assert.match(stdout + stderr, /verify OK/);
      assert.match(csrPem, /^-----BEGIN CERTIFICATE REQUEST-----/);
      assert.match(keyPem, /^-----BEGIN PRIVATE KEY-----/);
    }
  });
});

suite('findLeaks()', () => {
  test('finds the lines with a secret, a CSR or a private key', () => {
    const lines = [
      'fine',
      '{"key":"s3cret"}',
      '{"csr":"-----BEGIN CERTIFICATE REQUEST-----"}',
      '-----BEGIN PRIVATE KEY-----',
    ];
    assert.deepEqual(findLeaks(lines.join('\n'), ['s3cret']), lines.slice(1));
    assert.deepEqual(findLeaks('{"msg":"request"}', ['s3cret']), []);
  });

  test('knows a key by its thumbprint (RFC 7638 section 3.1)', () => {
    const n =
      '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw';
    const key = createPublicKey({ key: { kty: 'RSA', n, e: 'AQAB' }, format: 'jwk' });
    const pem = key.export({ type: 'spki', format: 'pem' }) as string;
    assert.equal(thumbprint(pem), 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs');
  });
});

suite('startProcess()', () => {
  test('throws with the last output of a program that ends before it is ready', async () => {
    const starting = startProcess('sh', ['-c', 'echo no such luck; exit 3'], {
      name: 'luck',
      ready: /never/,
    });
    await assert.rejects(starting, /luck ended before it was ready \(3\)\nno such luck/);
  });

  test('throws when there is no such program, and when it is not ready in time', async () => {
    await assert.rejects(
      startProcess('no-such-program', [], { name: 'none', ready: /never/ }),
      /none ended before/,
    );
    const slow = { name: 'slow', ready: async () => false, timeoutMs: 100 };
    await assert.rejects(startProcess('sleep', ['60'], slow), /timed out: slow to be ready/);
  });

  test('gives it standard input, environment and folder, and answers its exit code', async () => {
    await using dir = await tempDir();
    const child = await startProcess('sh', ['-c', 'cat; echo "$WORD"; pwd; exit 4'], {
      name: 'sh',
      ready: /quarry-test/,
      stdin: 'hello\n',
      env: { WORD: 'world' },
      cwd: dir.path,
    });
    assert.equal(await child.exited, 4);
    assert.equal(child.output(), `hello\nworld\n${dir.path}\n`);
  });

  test('kills what the program itself has started', async () => {
    const child = await startProcess('sh', ['-c', 'sleep 3600 & echo "pid=$!;"; wait'], {
      name: 'sh',
      ready: /pid=\d+;/,
    });
    const grandchild = Number(/pid=(\d+)/.exec(child.output())?.[1]);
    await child.kill();
    await waitUntil('the grandchild to be gone', () => isGone(grandchild));
  });
});

suite('a test process leaves no Redis behind', () => {
  test('when it is killed', async () => {
    await using dir = await tempDir();
    const { child, redisPid } = await startTestProcess('setInterval(() => {}, 1000);', dir.path);
    assert.equal(await isGone(redisPid), false);
    process.kill(child.pid, 'SIGKILL');
    await child.exited;
    await waitUntil('Redis to be gone', () => isGone(redisPid));
  });

  test('when it throws', async () => {
    await using dir = await tempDir();
    const { child, redisPid } = await startTestProcess("throw new Error('oops');", dir.path);
    assert.equal(await child.exited, 1);
    await waitUntil('Redis to be gone', () => isGone(redisPid));
  });

  test('when it forgets to stop it: it ends, and so does Redis', async () => {
    await using dir = await tempDir();
    const { child, redisPid } = await startTestProcess(
      'console.log(process.getActiveResourcesInfo());',
      dir.path,
    );
    assert.equal(await child.exited, 0);
    await waitUntil('Redis to be gone', () => isGone(redisPid));
  });

  test('and removes the folders of one that throws', async () => {
    await using dir = await tempDir();
    const file = JSON.stringify(join(import.meta.dirname, '../support/temp-dir.ts'));
    const script = `const { tempDir } = await import(${file}); console.log((await tempDir()).path); throw 1;`;
    const { stdout } = await run(node, ['--input-type=module', '-e', script], {
      env: { TMPDIR: dir.path },
    }).catch(e => e);
    assert.ok(stdout.startsWith(dir.path));
    await assert.rejects(access(stdout.trim()));
  });
});

test('a front for TCP asks the servers in turn, passes over one that is gone, and shows them the client’s address', async () => {
  await using front = await startTcpFront();
  const url = `http://127.0.0.1:${front.port}/`;
  const seen: string[] = [];
  const start = async (name: string) => {
    const server = await listen((request, response) => {
      seen.push(`${name} ${request.socket.remoteAddress}`);
      response.end();
    });
    front.servers.push({ host: '127.0.0.1', port: server.port });
    return server;
  };
  const [one, other] = [await start('one'), await start('other')];
  await ask(url, { from: '127.0.0.3' });
  await ask(url);
  assert.deepEqual(seen, ['one 127.0.0.3', 'other 127.0.0.1']);
  await one[Symbol.asyncDispose]();
  await ask(url);
  await ask(url);
  assert.deepEqual(seen.slice(2), ['other 127.0.0.1', 'other 127.0.0.1']);
  await other[Symbol.asyncDispose]();
  await assert.rejects(ask(url), { code: 'ECONNRESET' });
});
