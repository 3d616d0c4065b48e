import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describeError } from '../../shared/base/errors.ts';
import { findDebianBase } from '../support/debian-base.ts';
import { handedOver, runInOwnNetwork } from '../support/own-network.ts';
import { provision } from '../support/provision.ts';
import { tempDir } from '../support/temp-dir.ts';
import { fromCompose } from './compose.ts';
import { goBothWays, type Handed, strangersEnv } from './ways.ts';

// `npm run stranger`: goes the way of somebody who has never seen Quarry, by the commands that it prints,
// to a host whose nginx serves a renewed certificate, and tells the seconds of each step: with the Debian
// package, from a fresh checkout, and with Docker Compose. As root. `-- compose` goes the last way alone.

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');
const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function makePackages(folder: string): Promise<string> {
  const packages = join(folder, 'packages');
  await run('mkdir', [packages]);
  await run(process.execPath, [join(root, '.ci/deb/main.ts'), '--fast', '--into', packages]);
  return packages;
}

/** With what npm brings; in a network of its own there is no registry. */
async function makeCheckout(folder: string): Promise<Pick<Handed, 'checkout' | 'checkoutSeconds'>> {
  const checkout = join(folder, 'quarry');
  await run('git', ['clone', '--quiet', root, checkout]);
  const began = performance.now();
  await run('npm', ['ci', '--no-audit', '--no-fund'], { cwd: checkout, env: strangersEnv() });
  return { checkout, checkoutSeconds: Math.round((performance.now() - began) / 1000) };
}

async function main(): Promise<void> {
  const handed = handedOver();
  if (handed !== undefined) return goBothWays(JSON.parse(handed), say);
  const base = await findDebianBase(say);
  if ('missing' in base) return say(`not tried: ${base.missing}`);
  await provision(['pebble', 'openssl', 'redis-server', 'cc', 'libc-headers'], say);
  await using dir = await tempDir();
  const made = { base: base.path, ...(await makeCheckout(dir.path)) };
  if (process.argv[2] !== 'compose') {
    const both = { ...made, packages: await makePackages(dir.path) };
    const code = await runInOwnNetwork(import.meta.filename, JSON.stringify(both));
    if (code === undefined) say('not tried: this system grants no network of its own');
    process.exitCode = code ?? 0;
  }
  if (!process.exitCode) await fromCompose(made, say);
}

await main().catch(error => {
  process.stderr.write(`npm run stranger: ${describeError(error)}\n`);
  process.exitCode = 1;
});
