import assert from 'node:assert/strict';
import { mkdir, rename, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openWatch } from '../../../services/cli/watch-files.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { waitUntil } from '../../support/wait-until.ts';

const hour = 3_600_000;

/** A watched folder; `act` changes something in it, which has to be told. */
async function watched(prepare: (path: string) => Promise<string[]>, times = { settle: 5, lookAgain: hour }) {
  const dir = await tempDir();
  const paths = await prepare(dir.path);
  let told = 0;
  const watching = openWatch(paths, () => told++, times);
  watching.set(true);
  await waitUntil('the watch to begin', () => told > 0);
  return {
    path: dir.path,
    told: () => told,
    async change(what: string, act: () => Promise<unknown>) {
      const before = told;
      await act();
      await waitUntil(`${what} to be told`, () => told > before);
    },
    async [Symbol.asyncDispose]() {
      watching[Symbol.dispose]();
      await dir[Symbol.asyncDispose]();
    },
  };
}

test('a file that is written, or put in place of another, is told', async () => {
  await using on = await watched(async path => {
    await writeFile(join(path, 'main.ini'), 'one');
    return [join(path, 'main.ini')];
  });
  await on.change('a write', () => writeFile(join(on.path, 'main.ini'), 'another'));
  await writeFile(join(on.path, 'main.ini.new'), 'a third');
  await on.change('a rename', () => rename(join(on.path, 'main.ini.new'), join(on.path, 'main.ini')));
});

test('a folder tells of files that come and go, and of no others', async () => {
  await using on = await watched(async path => {
    await mkdir(join(path, 'conf.d'));
    await writeFile(join(path, 'conf.d', 'a.ini'), 'one');
    return [join(path, 'conf.d')];
  });
  await on.change('a new file', () => writeFile(join(on.path, 'conf.d', 'b.ini'), 'two'));
  const before = on.told();
  await writeFile(join(on.path, 'conf.d', 'b.ini~'), 'what an editor leaves');
  await on.change('a file that goes', () =>
    rename(join(on.path, 'conf.d', 'b.ini'), join(on.path, 'conf.d', 'b.bak')),
  );
  assert.equal(on.told(), before + 1);
});

test("a ConfigMap's new ..data is told", async () => {
  await using on = await watched(async path => {
    for (const [version, text] of [
      ['..1', 'one'],
      ['..2', 'two'],
    ] as const) {
      await mkdir(join(path, version));
      await writeFile(join(path, version, 'main.ini'), text);
    }
    await symlink('..1', join(path, '..data'));
    await symlink(join('..data', 'main.ini'), join(path, 'main.ini'));
    return [join(path, 'main.ini')];
  });
  await symlink('..2', join(on.path, '..data_tmp'));
  await on.change('the new data', () => rename(join(on.path, '..data_tmp'), join(on.path, '..data')));
});

test('what nobody tells of is found by a look, as in a folder that was put in place of another', async () => {
  await using on = await watched(
    async path => {
      await mkdir(join(path, 'etc'));
      await writeFile(join(path, 'etc', 'main.ini'), 'one');
      return [join(path, 'etc', 'main.ini')];
    },
    { settle: 5, lookAgain: 10 },
  );
  await mkdir(join(on.path, 'new'));
  await writeFile(join(on.path, 'new', 'main.ini'), 'two');
  await on.change('the new folder', async () => {
    await rename(join(on.path, 'etc'), join(on.path, 'old'));
    await rename(join(on.path, 'new'), join(on.path, 'etc'));
  });
  await on.change('a touched file', () => utimes(join(on.path, 'etc', 'main.ini'), 1, 1));
});

test('what a look finds is told only once it lies still, as files are written in steps', async () => {
  const prepare = async (path: string) => {
    await writeFile(join(path, 'main.ini'), 'one');
    return [join(path, 'main.ini')];
  };
  await using never = await watched(prepare, { settle: hour, lookAgain: 5 });
  await writeFile(join(never.path, 'main.ini'), 'half of anoth');
  await using soon = await watched(prepare, { settle: 5, lookAgain: 5 });
  for (let step = 0; step < 5; step++)
    await soon.change('what rests', () => writeFile(join(soon.path, 'main.ini'), `step ${step}`));
  assert.equal(never.told(), 1, 'its begin');
});

test('a watch that is set off tells of nothing, and of what has changed meanwhile when it is set on', async () => {
  await using dir = await tempDir();
  const file = join(dir.path, 'main.ini');
  await writeFile(file, 'one');
  let told = 0;
  using watching = openWatch([file], () => told++, { settle: 5, lookAgain: 10 });
  watching.set(true);
  watching.set(true);
  await waitUntil('the watch to begin', () => told === 1);
  watching.set(false);
  await writeFile(file, 'another');
  watching.set(true);
  await waitUntil('the watch to begin again', () => told === 2);
});
