import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { tokenCommand } from '../../../services/cli/token.ts';
import { startOwnRedis } from '../../contract/own-redis.ts';
import { account, auth } from '../../shared/setup/load-text.ts';
import { tempDir } from '../../support/temp-dir.ts';

// test/integration/tokens.test.ts has what the command does.

const { url, redis } = await startOwnRedis();
const dir = await tempDir();
after(() => dir[Symbol.asyncDispose]());

test('quarry token makes no secret, which no role would have, and leaves nothing of one in Redis', async () => {
  const [file, secretFile] = [join(dir.path, 'main.ini'), join(dir.path, 'installation.key')];
  await writeFile(file, `${account}${auth}token = yes\n[mgmt]\nsecret-file = ${secretFile}\n`);
  for (const words of [['add', '--names', 'a.example.org', 'web1'], ['list'], ['revoke', 'web1']]) {
    const io = { env: { REDIS_URL: url }, write: () => assert.fail('it was done') };
    await assert.rejects(tokenCommand.run([...words, file], io), {
      message: `[mgmt] secret-file: the secret of the installation, ${secretFile}, is not here: run this where a role has it`,
    });
  }
  assert.equal(existsSync(secretFile), false);
  await writeFile(secretFile, 'what this machine has had for years', { mode: 0o600 });
  const written: string[] = [];
  await tokenCommand.run(['list', file], { env: { REDIS_URL: url }, write: text => void written.push(text) });
  assert.deepEqual([written, await redis.keys('*')], [['there are no tokens\n'], []]);
});
