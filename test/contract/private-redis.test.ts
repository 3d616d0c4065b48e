import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { appendFile, chmod, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { suite, test } from 'node:test';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { startPrivateRedis } from '../../services/cli/private-redis.ts';
import { systemClock } from '../../shared/base/basics.ts';
import { findCommand } from '../support/find-command.ts';
import { keptLog } from '../support/kept-log.ts';
import { provision } from '../support/provision.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

const path = `${dirname((await provision(['redis-server']))['redis-server'])}:${process.env.PATH}`;

const start = (dir: string, { log } = keptLog()) => startPrivateRedis(dir, { path, clock: systemClock, log });

/** Asks the Redis behind a `unix:` URL. */
async function ask<T>(url: string, act: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url.slice('unix:'.length), { lazyConnect: true, retryStrategy: () => null });
  redis.on('error', () => {});
  await redis.connect();
  try {
    return await act(redis);
  } finally {
    redis.disconnect();
  }
}

const pidOf = (url: string) =>
  ask(url, async redis => Number(/process_id:(\d+)/.exec(await redis.info('server'))?.[1]));

suite('the private Redis', () => {
  test('is append-only, never evicts, and is open to its owner alone', async () => {
    await using dir = await tempDir();
    const data = join(dir.path, 'data');
    await using redis = await start(data);
    const settings = await ask(redis.url, redis =>
      redis.config('GET', 'appendonly', 'maxmemory-policy', 'port', 'save'),
    );
    const expected = { appendonly: 'yes', 'maxmemory-policy': 'noeviction', port: '0', save: '' };
    const pairs = settings as string[];
    const found = Object.fromEntries(pairs.flatMap((name, n) => (n % 2 ? [] : [[name, pairs[n + 1]]])));
    assert.deepEqual(found, expected);
    assert.equal((await stat(data)).mode & 0o077, 0);
    assert.equal((await stat(join(data, 'redis.sock'))).mode & 0o077, 0);
  });

  test('has files that only its owner can read, whatever the umask and whatever earlier runs have left', async () => {
    await using dir = await tempDir();
    const data = join(dir.path, 'data');
    const umask = process.umask(0);
    try {
      await mkdir(join(data, 'appendonlydir'), { recursive: true, mode: 0o755 });
      await chmod(data, 0o755);
      await writeFile(join(data, 'appendonlydir', 'left.aof'), '', { mode: 0o644 });
      await using redis = await start(data);
      await ask(redis.url, redis => redis.set('name', 'quarry'));
      const files = await readdir(join(data, 'appendonlydir'));
      assert.ok(files.length >= 4, `${files}`);
      for (const file of files) {
        const { mode } = await stat(join(data, 'appendonlydir', file));
        assert.equal(mode & 0o777, 0o600, file);
      }
    } finally {
      process.umask(umask);
    }
  });

  for (const mode of [0o777, 0o775, 0o1777])
    test(`refuses a folder that others may write to, of mode ${mode.toString(8)}`, async () => {
      await using dir = await tempDir();
      const data = join(dir.path, 'data');
      await mkdir(data);
      await chmod(data, mode);
      await assert.rejects(start(data), {
        message: `others may write to ${data}, which will not do for the private Redis: choose another [redis] dir, or chmod go-w it`,
      });
      assert.deepEqual(await readdir(data), []);
    });

  test('keeps its data from one run to the next, and is gone in between', async () => {
    await using dir = await tempDir();
    {
      await using first = await start(dir.path);
      await ask(first.url, redis => redis.set('name', 'quarry'));
      const pid = await pidOf(first.url);
      await first[Symbol.asyncDispose]();
      assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
    }
    await using second = await start(dir.path);
    assert.equal(await ask(second.url, redis => redis.get('name')), 'quarry');
  });

  test('is started again when it dies, as often as that happens', async () => {
    await using dir = await tempDir();
    const log = keptLog();
    await using redis = await start(dir.path, log);
    await ask(redis.url, redis => redis.set('name', 'quarry'));
    for (let round = 1; round <= 2; round++) {
      const pid = await pidOf(redis.url);
      process.kill(pid, 'SIGKILL');
      await waitUntil('it to be back', async () => (await pidOf(redis.url)) !== pid);
      assert.equal(await ask(redis.url, redis => redis.get('name')), 'quarry');
    }
    assert.match(log.text(), /the private Redis ended, starting it again/);
  });

  test('of an earlier run is used', async () => {
    await using dir = await tempDir();
    await using first = await start(dir.path);
    const log = keptLog();
    await using second = await start(dir.path, log);
    assert.equal(await pidOf(second.url), await pidOf(first.url));
    assert.match(log.text(), /using the private Redis of an earlier run/);
  });

  test('that a running Quarry has is told of to a second one, and outlives it', async () => {
    await using dir = await tempDir();
    await using first = await start(dir.path);
    await ask(first.url, async roles => {
      const pid = await pidOf(first.url);
      const log = keptLog();
      const second = await start(dir.path, log);
      assert.match(log.text(), /another quarry up uses this \[redis\] dir/);
      await second[Symbol.asyncDispose]();
      assert.equal(await roles.ping(), 'PONG');
      assert.equal(await pidOf(first.url), pid);
    });
  });

  test('of an earlier run ends with the last one that uses it', async () => {
    await using dir = await tempDir();
    await using _left = await start(dir.path);
    const log = keptLog();
    const second = await start(dir.path, log);
    assert.doesNotMatch(log.text(), /another quarry up/);
    await second[Symbol.asyncDispose]();
    await assert.rejects(pidOf(second.url));
  });

  test('is killed with the process that started it', async t => {
    if (!findCommand('setpriv')) return t.skip('there is no setpriv');
    await using dir = await tempDir();
    const script = `
      import { startPrivateRedis } from ${JSON.stringify(join(import.meta.dirname, '../../services/cli/private-redis.ts'))};
      const log = { info() {}, error() {} };
      const clock = { now: Date.now, sleep: ms => new Promise(done => setTimeout(done, ms)) };
      await startPrivateRedis(process.argv[1], { path: process.env.PATH, clock, log });
      process.kill(process.pid, 'SIGKILL');`;
    const args = ['--input-type=module', '-e', script, dir.path];
    await promisify(execFile)(process.execPath, args, { env: { ...process.env, PATH: path } }).catch(
      () => {},
    );
    await waitUntil('Redis to be gone', () =>
      pidOf(`unix:${join(dir.path, 'redis.sock')}`).then(
        () => false,
        () => true,
      ),
    );
    assert.ok((await readdir(dir.path)).includes('appendonlydir')); // it did run
  });

  /** Leaves data that no Redis loads. */
  async function spoil(dir: string): Promise<string> {
    await using redis = await start(dir);
    await ask(redis.url, redis => redis.set('name', 'quarry'));
    await redis[Symbol.asyncDispose]();
    const folder = join(dir, 'appendonlydir');
    const file = (await readdir(folder)).find(name => name.endsWith('.incr.aof'));
    assert.ok(file);
    await appendFile(join(folder, file), 'this is no command\n');
    return file;
  }

  test('that does not start is told of in its own words', async () => {
    await using dir = await tempDir();
    const file = await spoil(dir.path);
    const log = keptLog();
    const said = `Bad file format reading the append only file ${file}: make a backup of your AOF file, then use `;
    await assert.rejects(start(dir.path, log), ({ message }: Error) => {
      assert.ok(message.startsWith(`[redis] dir: the private Redis in ${dir.path} does not start: ${said}`));
      return !message.includes('\n');
    });
    assert.deepEqual(log.lines, []);
  });

  test('that dies and does not start again is tried six times, and told of once', async () => {
    await using dir = await tempDir();
    const log = keptLog();
    const pauses: number[] = [];
    const clock = {
      ...systemClock,
      sleep: (ms: number, signal?: AbortSignal) => {
        if (ms >= 500) pauses.push(ms);
        return systemClock.sleep(ms >= 500 ? 0 : ms, signal);
      },
    };
    await using redis = await startPrivateRedis(dir.path, { path, clock, log: log.log });
    const folder = join(dir.path, 'appendonlydir');
    const file = (await readdir(folder)).find(name => name.endsWith('.incr.aof'));
    await appendFile(join(folder, `${file}`), 'this is no command\n');
    process.kill(await pidOf(redis.url), 'SIGKILL');
    await assert.rejects(redis.failed, /^Error: \[redis\] dir: .* does not start: Bad file format [^\n]+$/);
    assert.deepEqual(pauses, [500, 1000, 2000, 4000, 8000, 16_000]);
    const told = log.lines.map(({ msg, reason }) => ({ msg, reason }));
    assert.deepEqual(told, [{ msg: 'the private Redis ended, starting it again', reason: 'SIGKILL' }]);
  });

  test('in a folder that cannot be made is told of with section, option and path', async () => {
    await using dir = await tempDir();
    await writeFile(join(dir.path, 'file'), '');
    const data = join(dir.path, 'file', 'data');
    await assert.rejects(start(data), {
      message: `[redis] dir: ${data} cannot be used: not a directory: a part of the path is a file: correct it`,
    });
  });

  test('says in one line what is missing', async () => {
    await using dir = await tempDir();
    const starting = startPrivateRedis(dir.path, { path: dir.path, clock: systemClock, log: keptLog().log });
    await assert.rejects(
      starting,
      /^Error: no Redis is configured and redis-server is not installed: [^\n]+$/,
    );
  });

  test('takes over where the Redis of an earlier run turns out to be going', async () => {
    await using dir = await tempDir();
    const earlier = await start(dir.path);
    await ask(earlier.url, redis => redis.set('name', 'quarry'));
    const log = keptLog();
    await using later = await start(dir.path, log);
    assert.match(log.text(), /using the private Redis of an earlier run/);
    await earlier[Symbol.asyncDispose]();
    await waitUntil(
      'Redis to be back',
      async () => (await ask(later.url, redis => redis.get('name'))) === 'quarry',
    );
    assert.match(log.text(), /the Redis of the earlier run is gone/);
  });
});
