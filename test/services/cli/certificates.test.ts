import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, beforeEach, suite, test } from 'node:test';
import { certificatesCommand } from '../../../services/cli/certificates.ts';
import { toEntry } from '../../../shared/inventory/entry.ts';
import { openInventoryWriter } from '../../../shared/inventory/writer.ts';
import { drainTrail } from '../../../shared/trail/drain.ts';
import { openTrail } from '../../../shared/trail/trail.ts';
import { startOwnRedis } from '../../contract/own-redis.ts';
import { account, auth } from '../../shared/setup/load-text.ts';
import { nameOf, openLeafMaker } from '../../support/made-leaves.ts';
import { tempDir } from '../../support/temp-dir.ts';

const { url, redis } = await startOwnRedis();
const writer = openInventoryWriter({ redis, prefix: '{quarry}' }, error => assert.fail(error));
const leaves = openLeafMaker();
const dir = await tempDir();
after(() => dir[Symbol.asyncDispose]());
const file = join(dir.path, 'main.ini');
await writeFile(file, `${account}${auth}`);
const at = Date.parse('2026-11-27T06:00:00Z');

suite('quarry certificates, of an inventory of its own', () => {
  beforeEach(() => redis.flushall());

  /** What the command writes. */
  async function list(...words: string[]): Promise<string> {
    const written: string[] = [];
    const io = { env: { REDIS_URL: url }, write: (text: string) => void written.push(text) };
    await certificatesCommand.run([...words, file], io);
    return written.join('');
  }

  async function fill(...numbers: number[]) {
    const entries = numbers.map(number =>
      toEntry(leaves.make(number), {
        how: 'post',
        block: number % 2 === 0 ? 'even' : 'odd',
        account: 'default',
      }),
    );
    await writer.add(entries.map(entry => ({ entry, at })));
    return entries;
  }

  const time = (milliseconds: number) => new Date(milliseconds).toISOString().replace('.000', '');

  test('quarry certificates tells what is known of each, for people and for programs', async () => {
    const [entry] = await fill(4);
    assert.ok(entry);
    const { id, serial, notBefore, notAfter } = entry;
    await writer.note('fetched', [{ id, note: { at, by: 'hmac key 2', client: '192.0.2.7' } }]);
    await writer.note('revoked', [{ id, note: { at: at + 1_000, by: 'operator root' } }]);
    const lines = [
      nameOf(4),
      `    serial ${serial}, valid from ${time(notBefore)} until ${time(notAfter)}`,
      '    ordered by a client, account default, block "even"',
      '    last fetched 2026-11-27T06:00:00Z by hmac key 2 from 192.0.2.7',
      '    revoked 2026-11-27T06:00:01Z by operator root',
    ];
    assert.equal(await list(), `${lines.join('\n')}\n`);
    assert.deepEqual(JSON.parse(await list('--json')), {
      certificates: [
        {
          ...{
            names: [nameOf(4)],
            serial,
            fingerprint: entry.fingerprint,
            block: 'even',
            account: 'default',
          },
          ...{ how: 'post', notBefore: time(notBefore), notAfter: time(notAfter) },
          fetched: { at: '2026-11-27T06:00:00Z', by: 'hmac key 2', client: '192.0.2.7' },
          revoked: { at: '2026-11-27T06:00:01Z', by: 'operator root' },
          ...{ superseded: null, forgotten: null },
        },
      ],
      ...{ next: null, behind: 0 },
    });
  });

  test('quarry certificates says that there is none', async () => {
    assert.equal(await list(), 'there is no such certificate\n');
    assert.deepEqual(JSON.parse(await list('--json')), { certificates: [], next: null, behind: 0 });
  });

  test('quarry certificates takes a glob, a serial number, a block, and revoked ones alone', async () => {
    const entries = await fill(1, 2, 3, 4);
    const id = entries[2]?.id ?? '';
    await writer.note('revoked', [{ id, note: { at } }]);
    const names = async (...words: string[]) =>
      JSON.parse(await list('--json', ...words)).certificates.flatMap(
        (one: { names: string[] }) => one.names,
      );
    assert.deepEqual(await names('*-000000[12].*'), [1, 2].map(nameOf));
    assert.deepEqual(await names('--block', 'odd'), [1, 3].map(nameOf));
    assert.deepEqual(await names('--revoked'), [nameOf(3)]);
    assert.deepEqual(await names(entries[3]?.serial ?? ''), [nameOf(4)]);
    assert.deepEqual(await names('00:11:22:33:44'), []);
  });

  test('quarry certificates goes on where a page ended, and without a limit lists all', async () => {
    await fill(...Array.from({ length: 1_100 }, (_, number) => number));
    assert.equal((await list()).match(/^host/gm)?.length, 1_100);
    const first = JSON.parse(await list('--json', '--limit', '2'));
    const second = await list('--limit', '2', '--after', first.next);
    assert.deepEqual(second.match(/^host.*/gm), [2, 3].map(nameOf));
    const [, cursor = ''] = /there are more: --after (\S+)\n$/.exec(second) ?? [];
    const last = await list('--after', cursor);
    assert.equal(last.match(/^host/gm)?.length, 1_096);
    assert.doesNotMatch(last, /more/);
  });

  test('quarry certificates says since when it waits for what has happened', async () => {
    await fill(1);
    const trail = openTrail({ redis, prefix: '{quarry}' });
    await trail.write({ at, event: 'operator', detail: 'keys list' });
    assert.match(await list(), /\nwhat has happened in the last \d+ s is not in here yet\n$/);
    assert.ok(JSON.parse(await list('--json')).behind > 0);
    const consumers = [{ name: 'inventory', take: async () => {} }];
    await drainTrail({ redis, prefix: '{quarry}' }, { consumers, keep: 10 }, new AbortController().signal);
    assert.equal(JSON.parse(await list('--json')).behind, 0);
  });

  test('quarry certificates refuses words that it cannot use', async () => {
    await assert.rejects(list('--limit', '0'), {
      message: '--limit 0 is no number of certificates from 1 to 999999',
    });
    await assert.rejects(list('a.*', 'b.*'), { message: 'one GLOB at most: a.* b.*' });
  });
});
