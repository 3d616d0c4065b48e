import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { constants, openSync, writeSync } from 'node:fs';
import { readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { Agent } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { ask, signed } from '../support/ask.ts';
import { makeCsr } from '../support/csr.ts';
import { startFleet } from '../support/fleet.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

// A `quarry up` that has few file descriptors, and whose log cannot be written.

const { path: dir } = await tempDir();
const logs = join(dir, 'log');
const logFile = join(logs, 'quarry.log');
const hmac = { key: 'the key of the few' };
const fleet = await startFleet({
  roles: [],
  worker: 'concurrency = 4',
  logFile,
  blocks: `[auth "hmac"]
hmac_type = sha256
hmac_key = ${hmac.key}
domain = *.example
`,
});
after(() => fleet[Symbol.asyncDispose]());
/** Of these it keeps 176 for itself. */
const up = await fleet.start('up', { through: ['prlimit', '--nofile=240:240', '--'] });

const [, responder = ''] =
  /^type = http01\nlistener = (.*)$/m.exec(await readFile(join(up.folder, 'main.ini'), 'utf8')) ?? [];

/** Connections to a port of Quarry's that say nothing. */
function connectIdly(url: string, count: number): Disposable & { open(): number } {
  const { hostname, port } = new URL(url);
  const sockets = new Set<Socket>();
  for (let n = 0; n < count; n++) {
    const socket = connect(Number(port), hostname).on('error', () => {}); // it is refused
    socket.once('connect', () => sockets.add(socket)).once('close', () => sockets.delete(socket));
    socket.resume();
  }
  return {
    open: () => sockets.size,
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

async function figure(name: string): Promise<number> {
  const { body } = await ask(`${up.adminUrl}/metrics`);
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(body)?.[1]);
}

const messages = async () =>
  (await readFile(logFile, 'utf8')).split('\n').flatMap(line => (line ? [JSON.parse(line)] : []));

async function post(name: string, agent?: Agent) {
  const { csrPem } = await makeCsr({ names: [name] });
  const headers = signed(csrPem, hmac);
  return ask(`${up.url}/sign`, { method: 'POST', body: csrPem, headers, ...(agent && { agent }) });
}

suite('a quarry up', () => {
  test('with few descriptors says so, refuses clients, and validates names all the same', async () => {
    const { body } = await ask(`${up.adminUrl}/readyz`);
    assert.match(body, /^ready\nat most 240 files and connections may be open here, and Quarry may need 176/);
    const agent = new Agent({ keepAlive: true, maxSockets: 1, keepAliveMsecs: 60_000 });
    const first = await post('first.example', agent);
    assert.equal(first.status, 200, first.body);
    {
      using _asking = connectIdly(`http://${responder}`, 200);
      using clients = connectIdly(up.url, 200);
      await waitUntil('clients to be refused', async () => {
        const refused = await figure('quarry_intake_connections_refused_total');
        return refused + clients.open() >= 199;
      });
      await assert.rejects(post('refused.example'), { code: 'ECONNRESET' });
      const held = await post('held.example', agent);
      assert.equal(held.status, 200, held.body);
    }
    const later = await post('later.example');
    assert.equal(later.status, 200, later.body);
    agent.destroy();
  });

  test('whose log cannot be written counts its lines, and does all that it does', async () => {
    const ordered = fleet.orders();
    const link = async (target: string) => {
      await rename(logFile, `${logFile}.old`);
      await symlink(target, logFile);
      process.kill(up.pid, 'SIGHUP');
    };
    await link('/dev/full');
    await waitUntil('a line to be lost', async () => {
      await ask(`${up.url}/nothing`);
      return (await figure('quarry_log_lines_dropped_total')) > 0;
    });
    assert.equal((await post('full.example')).status, 200);
    assert.equal(fleet.orders(), ordered + 1);
    const readiness = await ask(`${up.adminUrl}/readyz`);
    assert.equal(readiness.status, 200);
    assert.match(readiness.body, /^the log cannot be written: no space left on device$/m);

    await rm(`${logFile}.old`);
    await rm(logFile);
    process.kill(up.pid, 'SIGHUP');
    await waitUntil('the log to go on', async () => {
      await ask(`${up.url}/nothing`);
      return (await messages().catch(() => [])).length > 0;
    });
    const [gap] = await messages();
    assert.equal(gap.msg, 'log lines were lost');
    assert.ok(gap.lost > 0);

    await rename(logs, `${logs}.gone`);
    await writeFile(logs, 'no folder');
    process.kill(up.pid, 'SIGHUP');
    const kept = () => readFile(join(`${logs}.gone`, 'quarry.log'), 'utf8');
    await waitUntil('the old file to be kept', async () => (await kept()).includes('the old one is kept'));
    assert.equal((await post('kept.example')).status, 200);
    assert.match(await kept(), /kept\.example/);
    await rm(logs);
    await rename(`${logs}.gone`, logs);
  });

  test('whose log has a reader that stalls answers, and hands over at SIGTERM', async () => {
    await rename(logFile, `${logFile}.old`);
    execFileSync('mkfifo', [logFile]);
    const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants;
    openSync(logFile, O_RDONLY | O_NONBLOCK);
    const writer = openSync(logFile, O_WRONLY | O_NONBLOCK);
    assert.throws(
      () => {
        for (;;) writeSync(writer, Buffer.alloc(4096, 10));
      },
      { code: 'EAGAIN' },
    );
    process.kill(up.pid, 'SIGHUP');
    for (const name of ['one.example', 'two.example']) assert.equal((await post(name)).status, 200);
    assert.equal((await ask(`${up.adminUrl}/healthz`)).status, 200);
    fleet.front.hold();
    const waiting = post('handed-over.example');
    await waitUntil('the CA to ask', () => fleet.front.waiting > 0);
    const ended = up.stop('SIGTERM');
    assert.equal((await waiting).status, 503);
    fleet.front.release();
    assert.equal(await ended, 0);
    await rename(`${logFile}.old`, logFile);
  });
});
