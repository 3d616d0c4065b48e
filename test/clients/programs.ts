import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { bring, type Found, fromGo, type Program } from '../support/bring.ts';
import { findGo } from '../support/provision.ts';

// The clients that Go builds.

const run = promisify(execFile);
const ownSource = join(import.meta.dirname, 'go');

/** Its name changes with its source. Where Go has built Pebble before, this takes some ten seconds. */
function ownProgram(): Program {
  const hash = createHash('sha256');
  for (const file of globSync('*', { cwd: ownSource }).sort())
    hash.update(readFileSync(join(ownSource, file)));
  return {
    name: `go-libraries-${hash.digest('hex').slice(0, 16)}`,
    path: 'clients',
    async make(folder) {
      const go = findGo();
      if (!go) throw new Error('Go is not installed');
      await run(go, ['build', '-o', join(folder, 'clients'), '.'], { cwd: ownSource });
    },
  };
}

/** These take a minute and more to build. */
const slow = {
  step: fromGo('step', 'github.com/smallstep/cli/cmd/step', 'v0.30.2'),
  caddy: fromGo('caddy', 'github.com/caddyserver/caddy/v2/cmd/caddy', 'v2.11.9'),
};

let ownOnes: Promise<Found> | undefined;

export function findGoLibraries(): Promise<Found> {
  ownOnes ??= bring(ownProgram());
  return ownOnes;
}

/** Only `npm run clients` builds it; what is there already is used by all. */
export const findSlowClient = (which: keyof typeof slow): Promise<Found> =>
  bring(slow[which], process.env.QUARRY_TEST_CLIENTS === 'all' ? undefined : 'npm run clients builds it');
