import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { Redis } from 'ioredis';
import { assertChain } from '../support/chain.ts';
import { makeCsr } from '../support/csr.ts';
import { findCommand } from '../support/find-command.ts';
import { startFleet } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { startNotifySocket } from '../support/notify-socket.ts';
import { runQuarry, runQuarryIn, toldLines } from '../support/run-quarry.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

const { path: dataParent } = await tempDir();
const dataDir = join(dataParent, 'data');
const socket = join(dataDir, 'redis.sock');
const keyFile = join(dataParent, 'hmac-key');
await writeFile(keyFile, 'key-of-up\n');

const fleet = await startFleet({
  roles: [],
  pebble: { env: { PEBBLE_WFE_NONCEREJECT: '50' } },
  redisUrl: false,
  redis: `dir = ${dataDir}`,
  blocks: `[storage "redis"]
type = redis
renew-within = 1
[auth "hmac"]
ip = 127.0.0.1
hmac_type = sha512
hmac_key_file = ${keyFile}
domain = *.example
`,
});
after(async () => {
  await fleet[Symbol.asyncDispose]();
  await systemd?.[Symbol.asyncDispose]();
  const left = await redisPid(); // Where a test has failed.
  if (left) process.kill(left, 'SIGKILL');
});

/** What systemd is for a service. */
const systemd = findCommand('python3') ? await openSystemd() : undefined;

async function openSystemd() {
  const socket = await startNotifySocket('abstract');
  const environment = [`NOTIFY_SOCKET=${socket.address}`, 'WATCHDOG_USEC=400000'];
  const count = (line: string) => socket.told().filter(lines => lines.includes(line)).length;
  return { ...socket, environment, count };
}

const hmac = { key: 'key-of-up', hash: 'sha512' };

/** The process behind the private Redis's socket; undefined when nobody answers. */
async function redisPid(): Promise<number | undefined> {
  const redis = new Redis(socket, { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 });
  redis.on('error', () => {});
  try {
    await redis.connect();
    return Number(/process_id:(\d+)/.exec(await redis.info('server'))?.[1]);
  } catch {
    return undefined;
  } finally {
    redis.disconnect();
  }
}

/** Neither running nor a zombie that nobody has waited for. */
async function isGone(pid: number): Promise<boolean> {
  const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z ');
  return /\) Z /.test(state);
}

const untilNewRedis = (old: number | undefined) =>
  waitUntil('the private Redis to be back', async () => ![undefined, old].includes(await redisPid()));

suite('quarry up, alone', () => {
  test('issues with a private Redis, though the CA refuses half of all nonces', async () => {
    await fleet.start('up', { through: systemd ? ['env', ...systemd.environment] : [] });
    for (const name of ['one.example', 'two.example', 'three.example']) {
      const { csrPem, keyPem } = await makeCsr({ names: [name, `www.${name}`] });
      const { status, body } = await fleet.post(csrPem, { hmac });
      assert.equal(status, 200, body);
      assertChain(body, { names: [name, `www.${name}`], keyPem, rootPem: await fleet.pebble.rootPem() });
    }
    const refused = fleet.ca.requests().filter(({ method, status }) => method === 'POST' && status === 400);
    assert.ok(refused.length > 5, `nonces refused: ${refused.length}`);
    assert.equal((await stat(dataDir)).mode & 0o077, 0, 'the data are for the owner only');
  });

  test('survives kills of its Redis, one right after the other, with all that is stored', async () => {
    const { csrPem } = await makeCsr({ names: ['stored.example'] });
    const first = await fleet.post(csrPem, { hmac });
    assert.equal(first.status, 200, first.body);
    for (let kill = 0; kill < 2; kill++) {
      const pid = await redisPid();
      assert.ok(pid);
      process.kill(pid, 'SIGKILL');
      await untilNewRedis(pid);
    }
    const [up] = fleet.all('up');
    await waitUntil('quarry to be ready', async () => (await fetch(`${up?.adminUrl}/readyz`)).ok);
    const orders = fleet.orders();
    const again = await fleet.post(csrPem, { hmac });
    assert.deepEqual([again.status, again.body], [200, first.body]);
    assert.equal(fleet.orders(), orders);
    const other = await makeCsr({ names: ['after-the-kill.example'] });
    assert.equal((await fleet.post(other.csrPem, { hmac })).status, 200);
  });

  test('tells systemd when it is ready, that it lives, and when it takes files over', async t => {
    if (!systemd) return t.skip('there is no python3, which listens as systemd does');
    const [up] = fleet.all('up');
    const redis = await redisPid();
    assert.ok(up && redis);
    await waitUntil('systemd to hear that it is ready', () => systemd.count('READY=1') === 1);
    const ready = systemd.told().find(([first]) => first === 'READY=1');
    assert.match(`${ready?.[1]}`, /^STATUS=ready/);
    const beats = systemd.count('WATCHDOG=1');
    await waitUntil('systemd to hear that it lives', () => systemd.count('WATCHDOG=1') >= beats + 2);
    process.kill(up.pid, 'SIGHUP');
    await waitUntil('systemd to hear that it has reloaded', () => systemd.count('READY=1') === 2);
    const reloading = systemd.told().find(([first]) => first === 'RELOADING=1');
    assert.match(`${reloading?.[1]}`, /^MONOTONIC_USEC=\d+$/);
    assert.doesNotMatch(await readFile(`/proc/${redis}/environ`, 'latin1'), /NOTIFY_SOCKET|WATCHDOG/);
  });

  test('leaves no process behind after SIGTERM, and ends with 0', async () => {
    const [up] = fleet.all('up');
    const pid = await redisPid();
    assert.ok(up && pid);
    assert.equal(await up.stop('SIGTERM'), 0);
    if (systemd) assert.equal(systemd.count('STOPPING=1'), 1);
    assert.ok(await isGone(pid), 'Redis ended before quarry did');
    assert.equal(await redisPid(), undefined);
  });

  test('leaves no process behind after SIGKILL, and the next one finds what is stored', async () => {
    const up = await fleet.start('up');
    const { csrPem } = await makeCsr({ names: ['survivor.example'] });
    const first = await fleet.post(csrPem, { hmac });
    assert.equal(first.status, 200, first.body);
    const pid = await redisPid();
    assert.ok(pid);
    process.kill(up.pid, 'SIGKILL');
    await up.exited;
    await waitUntil('Redis to be gone', () => isGone(pid));
    const next = await fleet.start('up');
    const orders = fleet.orders();
    const again = await fleet.post(csrPem, { hmac, to: next });
    assert.deepEqual([again.status, again.body], [200, first.body]);
    assert.equal(fleet.orders(), orders);
    assert.equal(await next.stop('SIGINT'), 0);
  });

  test('that cannot listen ends with 1 and one line, and without its Redis', async () => {
    const port = await freePort();
    const taken = createServer().listen(port, '127.0.0.1');
    await once(taken, 'listening');
    const ended = await runQuarry(
      ['up', 'main.ini'],
      await fleet.ini({ mgmt: `listener = 127.0.0.1:${port}` }),
    );
    taken.close();
    assert.equal(ended.code, 1);
    assert.equal(toldLines(ended).length, 1, ended.stderr);
    assert.match(
      toldLines(ended).join(),
      new RegExp(`^quarry: \\[mgmt\\] listener: cannot listen on 127.0.0.1:${port}: .*EADDRINUSE`),
    );
    await assert.rejects(once(connect(socket), 'connect'));
  });

  test('whose files cannot be where its options say ends with 1, and names section, option and path', async () => {
    await using dir = await tempDir();
    const place = join(dir.path, 'file');
    await writeFile(place, 'this is no folder');
    const redis = (n: number) => `dir = ${dir.path}/redis-${n}`;
    const wrong: [option: string, path: string, ini: Promise<string>][] = [
      ['[redis] dir', `${place}/redis`, fleet.ini({ redis: `dir = ${place}/redis` })],
      [
        '[account] dir',
        `${place}/account/account.pem`,
        fleet.ini({ redis: redis(1), account: `accept-terms-of-service = yes\ndir = ${place}/account` }),
      ],
      [
        '[mgmt] secret-file',
        `${place}/secret`,
        fleet.ini({ redis: redis(2), mgmt: `secret-file = ${place}/secret` }),
      ],
      [
        '[logging] destination',
        `${place}/logs`,
        fleet.ini({ redis: redis(3), logFile: `${place}/logs/quarry.log` }),
      ],
    ];
    const ends = wrong.map(async ([option, path, ini]) => {
      const ended = await runQuarry(['up', 'main.ini'], await ini);
      const [line = '', ...more] = toldLines(ended);
      assert.deepEqual([ended.code, more], [1, []], ended.stderr);
      assert.ok(line.startsWith(`quarry: ${option}: `) && line.includes(path), line);
      assert.match(line, /not a directory: a part of the path is a file: correct it$/);
    });
    await Promise.all(ends);
  });

  test("whose Redis does not start ends with 1 and one line, in Redis's words", async () => {
    await using dir = await tempDir();
    const data = join(dir.path, 'data');
    await mkdir(data);
    await writeFile(join(data, 'appendonlydir'), 'this is no folder');
    const ended = await runQuarry(['up', 'main.ini'], await fleet.ini({ redis: `dir = ${data}` }));
    assert.equal(ended.code, 1);
    const reason = `^quarry: \\[redis\\] dir: the private Redis in ${data} does not start: .*appendonlydir`;
    assert.match(toldLines(ended).join('\n'), new RegExp(`${reason}[^\n]*$`));
  });
});

suite('the command line', () => {
  const good = fleet.ini();

  test('ends with 2 and one line for a command or an option that does not exist, and without a file', async () => {
    for (const args of [['sing', 'main.ini'], ['up', '--fast', 'main.ini'], ['up'], ['worker']]) {
      const ended = await runQuarry(args, await good);
      assert.equal(ended.code, 2, args.join(' '));
      assert.equal(toldLines(ended).length, 1, ended.stderr);
      assert.match(toldLines(ended).join(), /^quarry: /);
    }
  });

  test('ends with 2 and one line, file:line: [section] option: reason, for a configuration that is wrong', async () => {
    const wrong: [ini: string, line: RegExp][] = [
      [
        '[account]\ndir = a\n[mgmt]\nlistner = 127.0.0.1:1313\n',
        /^main\.ini:4: \[mgmt\] listner: unknown option/,
      ],
      ['[account]\ndir = a\n[auth "x"]\ndomain = *\n', /^main\.ini:3: \[auth "x"\]: would admit everyone/],
      ['[account]\ndir = a\n[nonsense]\n', /^main\.ini:3: \[nonsense\]: unknown section/],
      ['[account]\ndir = a\n[auth "x"]\nip = 300.0.0.1\ndomain = *\n', /^main\.ini:4: \[auth "x"\] ip: /],
    ];
    for (const [ini, line] of wrong) {
      for (const command of ['up', 'check']) {
        const ended = await runQuarry([command, 'main.ini'], ini);
        assert.equal(ended.code, 2, ini);
        assert.equal(ended.stderr.trimEnd().split('\n').length, 1, ended.stderr);
        assert.match(ended.stderr, line);
      }
    }
    const absent = await runQuarry(['intake', 'absent.ini']);
    assert.deepEqual([absent.code, toldLines(absent).length], [2, 1]);
    assert.match(absent.stderr, /^absent\.ini: cannot be read: /);
  });

  test('ends with 1 and one line for a single role without a Redis that it could share', async () => {
    const ended = await runQuarry(['worker', 'main.ini'], await good);
    assert.equal(ended.code, 1);
    assert.match(toldLines(ended).join(), /^quarry: .*REDIS_URL$/);
  });

  test('reads the files of a folder as one, with a secret that comes from outside', async () => {
    await using dir = await tempDir();
    await mkdir(join(dir.path, 'conf.d'));
    await writeFile(join(dir.path, 'key'), 's3cret-of-the-credential\n');
    const files = {
      'a.ini': '[account]\ndir = a\n',
      'b.ini': `[auth "x"]\nhmac_type = sha256\nhmac_key = \${credential:key}\ndomain = *.example\n`,
    };
    for (const [name, text] of Object.entries(files)) await writeFile(join(dir.path, 'conf.d', name), text);
    const check = (folder: string) =>
      runQuarryIn(dir.path, ['check', 'conf.d'], [], { CREDENTIALS_DIRECTORY: join(dir.path, folder) });
    const ended = await check('.');
    assert.equal(ended.code, 0, ended.stderr);
    assert.match(ended.stdout, /^x +hmac sha256 \(1 key\) +\*\.example /m);
    assert.doesNotMatch(ended.stdout + ended.stderr, /s3cret/);
    const without = await check('nowhere');
    assert.equal(without.code, 2);
    assert.match(
      without.stderr,
      /^conf\.d\/b\.ini:3: \[auth "x"\] hmac_key: needs the credential key, [^\n]*\n$/,
    );
  });

  test('reads several files as one', async () => {
    await using dir = await tempDir();
    const ended = await runQuarry(['check', 'main.ini', join(dir.path, 'missing.ini')], await good);
    assert.equal(ended.code, 2);
    assert.equal((await runQuarry(['check', 'main.ini'], await good)).code, 0);
  });
});
