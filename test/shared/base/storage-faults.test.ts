import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceError } from '../../../shared/base/errors.ts';
import { HangingError } from '../../../shared/base/file-threads.ts';
import { Registry } from '../../../shared/base/metrics.ts';
import { isFileFault, isStorageFault, openStoring } from '../../../shared/base/storage-faults.ts';
import { systemError } from '../../support/file-system.ts';
import { keptLog } from '../../support/kept-log.ts';
import { turnedClock } from '../../support/turned-clock.ts';

function open() {
  const [clock, log, metrics] = [turnedClock(1_000_000), keptLog(), new Registry()];
  const { faults } = openStoring({ clock, log: log.log, metrics });
  return { clock, log, metrics, faults, said: () => log.lines.map(({ msg }) => msg) };
}

const eio = systemError('EIO', 'read');

test('what fails over and over is told once, noted and counted until it works again', async () => {
  const { faults, said, metrics, log } = open();
  const failures = ['one', 'two', 'one'].map(place => faults.failed('files', 'read', place, eio));
  assert.deepEqual(
    failures.map(({ code, message }) => `${code}: ${message}`),
    Array(3).fill('unavailable: what is stored cannot be read'),
  );
  assert.deepEqual([said(), log.lines[0]?.reason], [['the storage cannot be read'], eio.message]);
  assert.deepEqual(faults.notes(), [`storage "files" cannot be read: ${eio.message}, and 1 more`]);
  assert.match(await metrics.metrics(), /^quarry_storage_failures_total\{storage="files",act="read"\} 3$/m);
  faults.worked('files', 'read', 'one');
  faults.worked('files', 'read', 'three');
  assert.equal(faults.notes().length, 1, 'the other entry has not been read since');
  faults.worked('files', 'read', 'two');
  assert.deepEqual([faults.notes(), said().at(-1)], [[], 'the storage can be read again']);
});

test('reading and writing are told apart, as are storages; what was written well says that all will be', () => {
  const { faults } = open();
  faults.failed('files', 'read', 'one', eio);
  for (const place of ['one', 'two']) faults.failed('files', 'write', place, eio);
  faults.failed('shared', 'write', 'one', eio);
  assert.equal(faults.notes().length, 3);
  faults.worked('files', 'write');
  assert.deepEqual(
    faults.notes().map(note => note.split(':')[0]),
    ['storage "files" cannot be read', 'storage "shared" cannot be written'],
  );
});

test('an entry that nobody asks for any more says nothing after a while, however many failed', () => {
  const { faults, clock } = open();
  for (let place = 0; place < 1_500; place++) faults.failed('files', 'read', `${place}`, eio);
  assert.match(faults.notes().join(), /, and 999 more$/);
  clock.turn(300_001);
  assert.deepEqual(faults.notes(), []);
});

test('a fault of a storage is known as one, and as told already; others are not', () => {
  const { faults } = open();
  assert.ok(isStorageFault(faults.failed('files', 'read', 'one', eio)));
  for (const other of [eio, new IssuanceError('unavailable', 'Redis cannot be reached'), undefined])
    assert.equal(isStorageFault(other), false);
  assert.ok(isFileFault(eio) && isFileFault(new HangingError('hangs')));
  for (const other of [new Error('it holds another CSR'), new RangeError('too long'), undefined])
    assert.equal(isFileFault(other), false);
});
