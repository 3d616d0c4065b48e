import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cache, findGo, lastLine } from '../support/provision.ts';
import type { Found } from '../support/provision-cas.ts';

// The clients that Go builds. They stay in the cache, as compiling takes minutes.

const run = promisify(execFile);

type Program = {
  /** Of its folder in the cache; it changes with what the program is made of. */
  name(): Promise<string>;
  path: string;
  /** It takes longer than CI should wait. */
  slow: boolean;
  make(folder: string, go: string): Promise<void>;
};

const outputLimit = 64 * 1024 * 1024;

const fromModule = (path: string, module: string, version: string): Program => ({
  name: async () => `${path}-${version}`,
  path,
  slow: true,
  async make(folder, go) {
    const env = { ...process.env, GOBIN: folder, CGO_ENABLED: '0' };
    await run(go, ['install', `${module}@${version}`], { env, maxBuffer: outputLimit });
  },
});

const ownSource = join(import.meta.dirname, 'go');

/** Once Pebble is built, which it is before any test, this takes some ten seconds. */
const ownProgram: Program = {
  async name() {
    const hash = createHash('sha256');
    for (const file of (await readdir(ownSource)).sort()) hash.update(await readFile(join(ownSource, file)));
    return `go-libraries-${hash.digest('hex').slice(0, 16)}`;
  },
  path: 'clients',
  slow: false,
  async make(folder, go) {
    await run(go, ['build', '-o', join(folder, 'clients'), '.'], { cwd: ownSource, maxBuffer: outputLimit });
  },
};

const programs = {
  goLibraries: ownProgram,
  step: fromModule('step', 'github.com/smallstep/cli/cmd/step', 'v0.30.2'),
  caddy: fromModule('caddy', 'github.com/caddyserver/caddy/v2/cmd/caddy', 'v2.11.9'),
};

type Built = keyof typeof programs;

const finding = new Map<Built, Promise<Found>>();

/** Finds a client in the cache, or builds it there; one that is slow to build only for `npm run clients`. */
export function findBuiltClient(which: Built): Promise<Found> {
  const found = finding.get(which) ?? findOrBuild(which);
  finding.set(which, found);
  return found;
}

async function findOrBuild(which: Built): Promise<Found> {
  const { name, path, slow, make } = programs[which];
  const folder = join(cache, 'clients', await name());
  const found = { path: join(folder, path) };
  if (existsSync(found.path)) return found;
  if (slow && process.env.QUARRY_TEST_CLIENTS !== 'all') return { missing: 'npm run clients builds it' };
  const go = findGo();
  if (!go) return { missing: 'Go is not installed' };
  await mkdir(join(cache, 'clients'), { recursive: true });
  const making = await mkdtemp(`${folder}.`);
  try {
    process.stderr.write(`building ${which} into ${cache}\n`);
    await make(making, go);
    await rename(making, folder).catch(() => {}); // Another process was faster.
    return found;
  } catch (error) {
    return { missing: `${which} is not to be had here: ${lastLine(error)}` };
  } finally {
    await rm(making, { recursive: true, force: true });
  }
}
