import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileSystemType, isLocalType, openFindTogether } from '../../../shared/storage/entry-looks.ts';
import { tempDir } from '../../support/temp-dir.ts';

/** From the kernel's `magic.h`, and from ZFS, which is no part of it. */
const types = {
  local: {
    ext4: 0xef53,
    xfs: 0x58465342,
    btrfs: 0x9123683e,
    zfs: 0x2fc12fc1,
    f2fs: 0xf2f52010,
    bcachefs: 0xca451a4e,
    tmpfs: 0x01021994,
  },
  // An overlay and eCryptfs lie on others, which nothing says of which kind they are.
  distant: {
    nfs: 0x6969,
    smb: 0x517b,
    cifs: 0xff534d42,
    smb2: 0xfe534d42,
    fuse: 0x65735546,
    '9p': 0x01021997,
    ceph: 0x00c36400,
    afs: 0x5346414f,
    gfs2: 0x01161970,
    ocfs2: 0x7461636f,
    overlay: 0x794c7630,
    ecryptfs: 0xf15f,
    unknown: 0,
  },
};

for (const [where, named] of Object.entries(types))
  for (const [name, type] of Object.entries(named))
    test(`a file system of type ${name} counts as ${where}`, () => {
      assert.equal(isLocalType(type), where === 'local');
    });

test('fileSystemType() asks the system, and takes what it does not say for unknown', async () => {
  await using dir = await tempDir();
  assert.ok((await fileSystemType(dir.path)) > 0);
  const missing = await fileSystemType(join(dir.path, 'missing'));
  assert.deepEqual([missing, isLocalType(missing)], [0, false]);
});

test('what is asked for in one turn is found once, when the turn ends, and anew for who asks later', async () => {
  const found: string[] = [];
  const find = openFindTogether(place => {
    found.push(place);
    if (place === 'bad') throw new Error('no such place');
    return `${place} ${found.length}`;
  });
  const together = ['a', 'b', 'bad', 'a'].map(find);
  assert.deepEqual(found, [], 'nothing is found before all have asked');
  const answers = await Promise.allSettled(together);
  const said = answers.map(one => (one.status === 'fulfilled' ? one.value : one.reason.message));
  assert.deepEqual(said, ['a 1', 'b 2', 'no such place', 'a 1']);
  assert.equal(await find('a'), 'a 4');
  assert.deepEqual(found, ['a', 'b', 'bad', 'a']);
});
