import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, beforeEach, suite, test } from 'node:test';
import type { Command } from '../../../services/cli/command.ts';
import { forgetCommand } from '../../../services/cli/forget.ts';
import { revokeCommand } from '../../../services/cli/revoke.ts';
import { toEntry } from '../../../shared/inventory/entry.ts';
import { openInventoryWriter } from '../../../shared/inventory/writer.ts';
import { trailKey } from '../../../shared/trail/trail.ts';
import { startOwnRedis } from '../../contract/own-redis.ts';
import { account, auth } from '../../shared/setup/load-text.ts';
import { nameOf, openLeafMaker } from '../../support/made-leaves.ts';
import { tempDir } from '../../support/temp-dir.ts';

// What quarry revoke and quarry forget refuse; test/integration/inventory.test.ts has what they do.

const { url, redis } = await startOwnRedis();
const writer = openInventoryWriter({ redis, prefix: '{quarry}' }, error => assert.fail(error));
const leaves = openLeafMaker();
const dir = await tempDir();
after(() => dir[Symbol.asyncDispose]());
const file = join(dir.path, 'main.ini');
const secretFile = join(dir.path, 'installation.key');
await writeFile(file, `${account}${auth}[mgmt]\nsecret-file = ${secretFile}\n`);
const at = Date.parse('2026-11-27T06:00:00Z');

suite('quarry revoke and quarry forget', () => {
  beforeEach(async () => {
    await redis.flushall();
    await writeFile(secretFile, 'a secret that is long enough for an installation', { mode: 0o600 });
  });

  /** Why the command does nothing, leaves nothing in the trail and no job, and what it has written before. */
  async function refusal(command: Command, ...words: string[]): Promise<{ why: Error; written: string }> {
    const written: string[] = [];
    const io = { env: { REDIS_URL: url }, write: (text: string) => void written.push(text) };
    const why: Error = await command.run(words, io).then(
      () => assert.fail('it was done'),
      error => error,
    );
    assert.deepEqual([await redis.exists(trailKey('{quarry}')), await redis.keys('*:revoke:*')], [0, []]);
    return { why, written: written.join('') };
  }

  async function fill(...numbers: number[]) {
    const entries = numbers.map(number => toEntry(leaves.make(number), { how: 'post', block: 'web' }));
    await writer.add(entries.map(entry => ({ entry, at })));
    return entries;
  }

  for (const [name, command, done] of [
    ['revoke', revokeCommand, 'nothing is revoked'],
    ['forget', forgetCommand, 'nothing is forgotten'],
  ] as const) {
    test(`quarry ${name} shows what it is about, and does nothing where nobody can say yes`, async () => {
      const [entry] = await fill(1);
      const { why, written } = await refusal(command, nameOf(1), file);
      const message = `${done}, as there is no terminal to ask at; say --yes`;
      assert.deepEqual([why.name, why.message], ['UsageError', message]);
      const end = new Date(entry?.notAfter ?? 0).toISOString().slice(0, 10);
      const line = `    ${nameOf(1)}: serial ${entry?.serial}, until ${end}, block "web"\n`;
      assert.match(written, /^1 certificate is to be /);
      assert.ok(written.endsWith(line), written);
    });

    test(`quarry ${name} wants --all besides --yes for several certificates of a name`, async () => {
      const [first, second] = await fill(1, 1);
      const { why, written } = await refusal(command, '--yes', nameOf(1), file);
      const message = `${done}, as there are several: say --all, or the serial number of one`;
      assert.deepEqual([why.name, why.message], ['UsageError', message]);
      assert.match(written, /^2 certificates are to be /);
      for (const one of [first, second]) assert.ok(written.includes(one?.serial ?? 'none'));
    });

    test(`quarry ${name} takes one name that is spelled out, and no glob`, async () => {
      await fill(1);
      for (const wanted of ['*.example.org', 'example.org', nameOf(1).slice(1), '00']) {
        const { why } = await refusal(command, '--yes', wanted, file);
        const all = 'quarry certificates lists them all';
        assert.equal(why.message, `no certificate is called ${JSON.stringify(wanted)}; ${all}`);
      }
      const { why } = await refusal(command, '--yes', 'a.example', 'b.example', file);
      assert.equal(why.message, `give one name or serial number: quarry ${name} www.example.org main.ini`);
    });

    test(`quarry ${name} has nothing to do for what is revoked`, async () => {
      const [entry] = await fill(1);
      await writer.note('revoked', [{ id: entry?.id ?? '', note: { at } }]);
      const { why } = await refusal(command, '--yes', nameOf(1), file);
      assert.equal(why.message, `what is called ${nameOf(1)} is revoked already`);
    });
  }

  test('neither goes on without the secret of the roles, nor with another one, and makes none', async () => {
    await fill(1);
    await rm(secretFile);
    const absent = await refusal(revokeCommand, '--yes', nameOf(1), file);
    const where = `${secretFile}, is not here: run this where a role has it`;
    assert.equal(absent.why.message, `[mgmt] secret-file: the secret of the installation, ${where}`);
    assert.equal(existsSync(secretFile), false);
    await writeFile(secretFile, 'another secret that is long enough for it', { mode: 0o600 });
    await redis.set('{quarry}:installation', 'the fingerprint of the roles');
    const other = await refusal(forgetCommand, '--yes', nameOf(1), file);
    assert.match(other.why.message, /is not the secret of the installation that uses this Redis/);
  });

  test('quarry revoke takes a reason that CAs take', async () => {
    await fill(1);
    const { why, written } = await refusal(revokeCommand, '--yes', '--reason', 'boredom', nameOf(1), file);
    assert.equal(why.name, 'UsageError');
    assert.match(why.message, /^--reason is one of unspecified \(0\), keyCompromise \(1\)/);
    assert.equal(written, '');
  });
});
