import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { findDebianBase } from '../support/debian-base.ts';
import { handedOver, runInOwnNetwork } from '../support/own-network.ts';
import { provision } from '../support/provision.ts';
import { tempDir } from '../support/temp-dir.ts';

// `npm run test:deb`: builds the Debian package, and has it live through its life in a fresh Debian without
// Node: installed, started by systemd, upgraded, removed, installed again, purged. The machine is in a
// network of its own.

const say = (line: string) => process.stderr.write(`${line}\n`);
const root = join(import.meta.dirname, '../..');

/** Quick to build, as nothing in it is packed. @returns the folder with a package of each version */
async function buildPackages(folder: string): Promise<void> {
  const build = (...words: string[]) =>
    promisify(execFile)(process.execPath, [
      join(root, '.ci/deb/main.ts'),
      '--fast',
      '--into',
      folder,
      ...words,
    ]);
  await build();
  await build('--version', '0.9.9');
}

const handed = handedOver();
if (handed !== undefined) {
  const { liveInDebian } = await import('./life.ts');
  await liveInDebian(JSON.parse(handed));
} else {
  const base = await findDebianBase(say);
  if ('missing' in base) test('the Debian package', { skip: base.missing }, () => {});
  else {
    await provision(['pebble', 'openssl'], say);
    await using dir = await tempDir();
    await buildPackages(dir.path);
    const code = await runInOwnNetwork(
      import.meta.filename,
      JSON.stringify({ base: base.path, packages: dir.path }),
    );
    if (code === undefined) test('the Debian package', { skip: 'this system grants no network' }, () => {});
    else process.exitCode = code;
    await import('./lint.ts');
  }
}
