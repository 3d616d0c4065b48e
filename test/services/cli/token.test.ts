import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { tokenCommand } from '../../../services/cli/token.ts';
import { toAccountBinding } from '../../../shared/acme-server/account-binding.ts';
import { openSeals } from '../../../shared/admission/hmac.ts';
import { tokenDigest } from '../../../shared/admission/token-record.ts';
import { openJudgeToken } from '../../../shared/admission/tokens.ts';
import { systemClock } from '../../../shared/base/basics.ts';
import { startOwnRedis } from '../../contract/own-redis.ts';
import { account, auth } from '../../shared/setup/load-text.ts';
import { bindAccount, makeClientKey } from '../../support/acme-jws.ts';
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

test('quarry token shows what an ACME client takes in its place, where there is a server, and warns of names that are no use', async () => {
  const secret = 'the secret of an installation with tokens';
  const secretFile = join(dir.path, 'other.key');
  await writeFile(secretFile, secret, { mode: 0o600 });
  const rest = `${account}${auth}token = yes\n[mgmt]\nsecret-file = ${secretFile}\n[redis]\nprefix = {shown}\n`;
  const [with_, without] = [join(dir.path, 'acme.ini'), join(dir.path, 'plain.ini')];
  await writeFile(with_, `${rest}[acme]\nurl = https://quarry.example.org/acme\n`);
  await writeFile(without, rest);
  async function run(...words: string[]): Promise<string> {
    const written: string[] = [];
    await tokenCommand.run(words, { env: { REDIS_URL: url }, write: text => void written.push(text) });
    return written.join('');
  }

  const added = await run('add', '--names', 'a.example.org', 'web1', with_);
  const shown = /^(quarry_\S+)$[\s\S]*^EAB key id: (\S+)$[\s\S]*^EAB key: {4}(\S+)$/m.exec(added) ?? [];
  const [, token = '', kid = '', key = ''] = shown;
  assert.match(
    added,
    /^An ACME client of https:\/\/quarry\.example\.org\/acme\/directory takes in its place$/m,
  );
  assert.equal(kid, tokenDigest(token));
  const jws = bindAccount({ kid, key: Buffer.from(key, 'base64url') }, 'https://x', makeClientKey().jwk);
  const judge = openJudgeToken({ redis, prefix: '{shown}' }, openSeals(Buffer.from(secret)), systemClock);
  const block = /"(.*)"/.exec(added)?.[1] ?? '';
  const verdict = await judge(toAccountBinding({ kid, jws }), block);
  assert.equal(verdict && 'by' in verdict && verdict.by, 'token web1');
  assert.match(await run('list', with_), new RegExp(`^    EAB key id ${kid}$`, 'm'));
  assert.equal(JSON.parse(await run('list', '--json', without)).keyId, kid);

  assert.doesNotMatch(await run('add', '--names', 'a.example.org', 'web2', without), /EAB/);
  assert.doesNotMatch(await run('list', without), /EAB/);

  const names = 'mail.example.org,Mial.example.org,192.0.2.7,*.example.org';
  const doubtful = await run('add', '--names', names, 'web3', without);
  const warning = 'warning: [auth "mail"] does not have Mial.example.org: no host gets that by this token';
  assert.deepEqual(doubtful.split('\n').slice(2), [warning, '']);
  assert.doesNotMatch(await run('add', '--names', 'mail.example.org', 'web4', without), /warning/);
});
