import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, beforeEach, suite, test } from 'node:test';
import { keysCommand } from '../../../services/cli/keys.ts';
import { limitsCommand } from '../../../services/cli/limits.ts';
import { reissueCommand } from '../../../services/cli/reissue.ts';
import { renewCommand } from '../../../services/cli/renew.ts';
import { type ManagedCertificate, openRenewalIndex } from '../../../shared/renewal/renewal-index.ts';
import { parseEntry } from '../../../shared/trail/event.ts';
import { trailKey } from '../../../shared/trail/trail.ts';
import { startOwnRedis } from '../../contract/own-redis.ts';
import { account, auth } from '../../shared/setup/load-text.ts';
import { tempDir } from '../../support/temp-dir.ts';

const { url, redis } = await startOwnRedis();
const index = openRenewalIndex({ redis, prefix: '{quarry}' });
const dir = await tempDir();
after(() => dir[Symbol.asyncDispose]());
const file = join(dir.path, 'main.ini');
await writeFile(file, `${account}${auth}`);
const io = { env: { REDIS_URL: url }, write: () => undefined };

/** What the acts of operators are in the trail, with their names. */
async function acts(): Promise<[string, string[]?][]> {
  const entries = await redis.xrange(trailKey('{quarry}'), '-', '+');
  const events = entries.flatMap(([id, fields]) => parseEntry(id, fields));
  return events.map(({ text }) => {
    const { event, by, detail, names } = JSON.parse(text);
    assert.equal(event, 'operator');
    assert.match(by, /^operator .+/);
    return names ? [detail, names] : [detail];
  });
}

suite('what operators do', () => {
  beforeEach(() => redis.flushall());

  const digest = 'a'.repeat(64);

  test('blocking and unblocking a key is in the trail', async () => {
    await keysCommand.run(['block', '--reason', 'it was on a USB stick', digest, file], io);
    await keysCommand.run(['list', file], io);
    await keysCommand.run(['unblock', digest, file], io);
    assert.deepEqual(await acts(), [
      [`keys block ${digest}: it was on a USB stick`],
      [`keys unblock ${digest}`],
    ]);
  });

  test('clearing a limit is in the trail, also one that does not stand', async () => {
    await assert.rejects(limitsCommand.run(['clear', 'name/a.example', file], io), /no limit/);
    assert.deepEqual(await acts(), [['limits clear name/a.example']]);
  });

  test('each certificate that is to be reissued is in the trail, with its names', async () => {
    const now = Date.now();
    const managed: ManagedCertificate = {
      ...{ id: 'stored/kept/1', certificate: 'a.1', named: true, names: ['one.example'] },
      ...{ notBefore: now, notAfter: now + 90 * 86_400_000, info: { none: '' }, pollFailures: 0 },
      ...{ plan: { at: now, first: now, why: '' }, renews: true, ahead: false, looked: true },
    };
    await index.add(managed, now);
    await index.add({ ...managed, id: 'stored/kept/2', names: ['two.example'] }, now);
    await reissueCommand.run(['--yes', file], io);
    assert.deepEqual(await acts(), [
      ['reissue stored/kept/1', ['one.example']],
      ['reissue stored/kept/2', ['two.example']],
    ]);
  });

  test('a renewal that nothing answers to is none', async () => {
    await assert.rejects(renewCommand.run(['one.example', file], io), /nothing that Quarry renews/);
    assert.deepEqual(await acts(), []);
  });
});
