import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { copyFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { bring, type Found, fromGo, type Program } from '../support/bring.ts';
import { findGo } from '../support/provision.ts';

// The clients that have to be built.

const run = promisify(execFile);

/** A program of ours around a library, in a folder beside this file. Its name changes with its source. */
function ownProgram(folder: string, build: (source: string, into: string) => Promise<unknown>): Program {
  const source = join(import.meta.dirname, folder);
  const hash = createHash('sha256');
  for (const file of globSync('**/*.*', { cwd: source }).sort())
    hash.update(readFileSync(join(source, file)));
  return {
    name: `clients-${folder}-${hash.digest('hex').slice(0, 16)}`,
    path: 'clients',
    make: async into => void (await build(source, into)),
  };
}

/** Where Go has built Pebble before, this takes some ten seconds. */
const goLibraries = ownProgram('go', async (source, into) => {
  const go = findGo();
  if (!go) throw new Error('Go is not installed');
  await run(go, ['build', '-o', join(into, 'clients'), '.'], { cwd: source });
});

/** These take a minute and more to build. */
const slow = {
  step: fromGo('step', 'github.com/smallstep/cli/cmd/step', 'v0.30.2'),
  caddy: fromGo('caddy', 'github.com/caddyserver/caddy/v2/cmd/caddy', 'v2.11.9'),
  instantAcme: ownProgram('rust', async (source, into) => {
    const target = join(into, 'target');
    const args = ['build', '--locked', '--quiet', '--target-dir', target];
    await run('cargo', args, { cwd: source, maxBuffer: 64 * 1024 * 1024 });
    await copyFile(join(target, 'debug', 'clients'), join(into, 'clients'));
    await rm(target, { recursive: true });
  }),
};

let ownOnes: Promise<Found> | undefined;

export function findGoLibraries(): Promise<Found> {
  ownOnes ??= bring(goLibraries);
  return ownOnes;
}

/** Only `npm run clients` builds it; what is there already is used by all. */
export const findSlowClient = (which: keyof typeof slow): Promise<Found> =>
  bring(slow[which], process.env.QUARRY_TEST_CLIENTS === 'all' ? undefined : 'npm run clients builds it');
