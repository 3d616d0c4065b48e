import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { findDescriptorLimit, shareDescriptors } from '../../../services/cli/descriptors.ts';
import { tempDir } from '../../support/temp-dir.ts';

test('what a process does not need itself is shared between clients and challenges', () => {
  const up = { concurrency: 64, intake: true, listeners: 2 };
  const { room, tooLow } = shareDescriptors(20_000, up);
  assert.deepEqual(room, { clients: 9_792, perListener: 4_896 });
  assert.equal(tooLow, undefined);
  assert.ok(room.clients + 2 * room.perListener + 4 * 64 < 20_000);
  const [intake, responder] = [
    { concurrency: 0, intake: true, listeners: 0 },
    { concurrency: 0, intake: false, listeners: 1 },
  ];
  assert.equal(shareDescriptors(20_000, intake).room.clients, 19_840);
  assert.equal(shareDescriptors(20_000, responder).room.perListener, 19_840);
});

test('a limit that is too low for what is configured is told of, and leaves some room to everybody', () => {
  const up = { concurrency: 64, intake: true, listeners: 1 };
  const { room, tooLow } = shareDescriptors(256, up);
  assert.deepEqual(room, { clients: 16, perListener: 80 });
  assert.match(
    tooLow ?? '',
    /^at most 256 files .* may need 416 itself: allow 1440 or more \(LimitNOFILE=, /,
  );
  assert.equal(shareDescriptors(1024, up).tooLow, undefined);
});

test('with a limit of a few dozens no more clients are let in than have room for their orders', () => {
  const up = { concurrency: 64, intake: true, listeners: 1 };
  const roomAt = (limit: number) => shareDescriptors(limit, up).room;
  assert.deepEqual(roomAt(208), { clients: 16, perListener: 80 });
  assert.deepEqual(roomAt(96), { clients: 4, perListener: 20 });
  assert.deepEqual(roomAt(64), { clients: 1, perListener: 5 });
  assert.deepEqual(roomAt(20), { clients: 1, perListener: 5 });
});

test('where the limit is not to be known, any number may connect', async () => {
  await using dir = await tempDir();
  const limits = join(dir.path, 'limits');
  assert.equal(findDescriptorLimit(limits), undefined);
  await writeFile(
    limits,
    'Limit  Soft Limit  Hard Limit  Units\nMax open files            1024   4096   files\n',
  );
  assert.equal(findDescriptorLimit(limits), 1024);
  await writeFile(limits, 'Max open files            unlimited   unlimited   files\n');
  assert.equal(findDescriptorLimit(limits), undefined);
  const { room } = shareDescriptors(undefined, { concurrency: 64, intake: true, listeners: 1 });
  assert.deepEqual(room, { clients: Infinity, perListener: Infinity });
});
