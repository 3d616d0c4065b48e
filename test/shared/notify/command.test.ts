import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { deliver } from '../../../shared/notify/deliver.ts';
import { toJson } from '../../../shared/notify/message.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { aMessage, at } from './a-message.ts';

const dir = await tempDir();
after(() => dir[Symbol.asyncDispose]());

async function run(script: string): Promise<void> {
  const command = join(dir.path, 'tell.sh');
  await writeFile(command, `#!/bin/sh\n${script}\n`);
  await chmod(command, 0o755);
  const block = { name: 'ops', kinds: [], type: 'command', command, folder: dir.path } as const;
  const signal = new AbortController().signal;
  await deliver({ ...block, kinds: [] }, aMessage, { clock: turnedClock(at), log: quietLog, signal });
}

test('a command is given the message on its standard input, and nothing of the environment', async () => {
  process.env.S3CRET = 'of the process';
  await run('cat > message; env > environment');
  assert.equal(await readFile(join(dir.path, 'message'), 'utf8'), toJson(aMessage));
  const environment = await readFile(join(dir.path, 'environment'), 'utf8');
  assert.match(environment, /^PATH=/m);
  assert.doesNotMatch(environment, /S3CRET|REDIS_URL|HOME/);
});

test('a command that ends with another exit code than 0 has failed', async () => {
  await assert.rejects(run('echo no pager >&2; exit 3'), /^Error: ended with exit code 3: no pager$/);
});
