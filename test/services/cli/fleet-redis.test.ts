import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { suite, test } from 'node:test';
import { openFleetRedis } from '../../../services/cli/fleet-redis.ts';
import { account, auth } from '../../shared/setup/load-text.ts';
import { tempDir } from '../../support/temp-dir.ts';

async function fault(redis: string): Promise<string> {
  await using dir = await tempDir();
  const file = join(dir.path, 'main.ini');
  await writeFile(file, `${account}${auth}[redis]\n${redis.replace('DIR', dir.path)}\n`);
  const error = await openFleetRedis([file], {}).then(
    () => undefined,
    error => error,
  );
  return `${error?.message}`.replace(dir.path, 'DIR');
}

// Each of them is patient with a Redis that may come.
suite('a Redis that is not there', { concurrency: true }, () => {
  test('openFleetRedis() says where it looked for a private Redis, and that its place depends on the folder', async () => {
    const socket = resolve('nowhere', 'redis.sock');
    assert.equal(
      await fault('dir = ./nowhere'),
      `Redis at unix:${socket} cannot be reached; does quarry run, and was it started in this folder, where the [redis] dir begins?`,
    );
  });

  test('openFleetRedis() says where it looked for a Redis whose place is certain, and no password', async () => {
    const [ownSocket, shared, socket] = await Promise.all([
      fault('dir = DIR'),
      fault('url = redis://:s3cret@127.0.0.1:1'),
      fault('url = unix://quarry:s3cret@DIR/redis.sock'),
    ]);
    assert.equal(ownSocket, 'Redis at unix:DIR/redis.sock cannot be reached; does quarry run?');
    assert.equal(shared, 'Redis at 127.0.0.1:1 cannot be reached; does quarry run?');
    assert.equal(socket, 'Redis at unix:DIR/redis.sock cannot be reached; does quarry run?');
  });
});
