import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { tokenCommand } from '../../../services/cli/token.ts';
import { startOwnRedis } from '../../contract/own-redis.ts';
import { account, auth } from '../../shared/setup/load-text.ts';
import { tempDir } from '../../support/temp-dir.ts';

const { url, redis } = await startOwnRedis();

test('quarry token makes no secret of the installation, as one that no role has is of no use', async () => {
  await using dir = await tempDir();
  const [file, secretFile] = [join(dir.path, 'main.ini'), join(dir.path, 'installation.key')];
  await writeFile(file, `${account}${auth}token = yes\n[mgmt]\nsecret-file = ${secretFile}\n`);
  const io = { env: { REDIS_URL: url }, write: () => {} };
  const where = `${secretFile}, is not here: run this where a role has it`;
  await assert.rejects(tokenCommand.run(['add', '--names', '*.example.org', 'web1', file], io), {
    message: `the secret of the installation, ${where}`,
  });
  assert.equal(existsSync(secretFile), false);
  assert.equal(await redis.dbsize(), 0);
});
