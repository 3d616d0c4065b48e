import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findCommand, pathFolders } from './find-command.ts';
import { aptGet, cache, lastLine, provision } from './provision.ts';

// The CAs that Quarry is tried with beside Pebble. All of them stay in the cache, and none on the system.

const run = promisify(execFile);

/** The program; or, in one line, why it is not to be had. */
export type Found = { path: string } | { missing: string };

type Program = { name: string; path: string; make(folder: string): Promise<void> };

/** A program of a Debian package, unpacked and not installed: so it is beside the Pebble that Go built. */
const fromDebian = (name: string): Program => ({
  name: `${name}-debian`,
  path: `usr/bin/${name}`,
  async make(folder) {
    await aptGet('update').catch(() => {}); // Yesterday's lists may do.
    await run('apt-get', ['-q', 'download', name], { cwd: folder });
    const [archive = ''] = (await readdir(folder)).filter(file => file.endsWith('.deb'));
    await run('dpkg', ['-x', join(folder, archive), folder]);
  },
});

/** A Python of its own with these packages. */
const fromPip = (name: string, packages: string[]): Program => ({
  name,
  path: 'bin/python',
  async make(folder) {
    await run('python3', ['-m', 'venv', folder]);
    await run(join(folder, 'bin/python'), ['-m', 'pip', 'install', '-q', ...packages]);
  },
});

/** It takes minutes to build: only where all CAs are wanted. */
const fromGo = (name: string, module: string, version: string): Program => ({
  name: `${name}-${version}`,
  path: name,
  async make(folder) {
    const go = findCommand('go', [...pathFolders(), '/usr/local/go/bin']);
    if (!go) throw new Error('Go is not installed');
    // Without C, step-ca does not ask for the headers of smart cards.
    const env = { ...process.env, GOBIN: folder, CGO_ENABLED: '0' };
    await run(go, ['install', `${module}@${version}`], { env, maxBuffer: 64 * 1024 * 1024 });
  },
});

const programs = {
  debianPebble: fromDebian('pebble'),
  debianCaddy: fromDebian('caddy'),
  caddy: fromGo('caddy', 'github.com/caddyserver/caddy/v2/cmd/caddy', 'v2.11.9'),
  stepCa: fromGo('step-ca', 'github.com/smallstep/certificates/cmd/step-ca', 'v0.30.2'),
  acme2certifier: fromPip('acme2certifier-0.46.3', ['acme2certifier==0.46.3', 'gunicorn==27.0.1']),
  serles: fromPip('serles-1.3.0', ['serles-acme==1.3.0', 'gunicorn==27.0.1']),
};

export type CaProgram = keyof typeof programs;

const goOnly: readonly CaProgram[] = ['caddy', 'stepCa'];

/** Finds a CA in the cache, or brings it there. */
async function provisionCa(which: CaProgram): Promise<Found> {
  const { name, path, make } = programs[which];
  if (goOnly.includes(which) && process.env.QUARRY_TEST_CAS !== 'all')
    return { missing: 'QUARRY_TEST_CAS=all builds it' };
  const folder = join(cache, 'cas', name);
  if (!existsSync(join(folder, path))) {
    await mkdir(join(cache, 'cas'), { recursive: true });
    const making = await mkdtemp(`${folder}.`);
    try {
      process.stderr.write(`bringing ${name} into ${cache}\n`);
      await make(making);
      await rename(making, folder).catch(() => {}); // Another process was faster.
    } catch (error) {
      return { missing: `${name} is not to be had here: ${lastLine(error)}` };
    } finally {
      await rm(making, { recursive: true, force: true });
    }
  }
  return { path: join(folder, path) };
}

/** All CAs, and whatever else their tests need: in a network of its own nothing can be brought any more. */
export async function provisionCas(): Promise<Record<CaProgram | 'pebble', Found>> {
  const { pebble } = await provision();
  const found: Partial<Record<CaProgram | 'pebble', Found>> = { pebble: { path: pebble } };
  for (const which of Object.keys(programs) as CaProgram[]) found[which] = await provisionCa(which);
  return found as Record<CaProgram | 'pebble', Found>;
}
