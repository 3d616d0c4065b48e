import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { aptUpdate, cache, findGo, lastLine } from './provision.ts';

// CAs and ACME clients that tests try Quarry with. All of them stay in the cache, and none on the system.

const run = promisify(execFile);

/** The program; or, in one line, why it is not to be had. */
export type Found = { path: string } | { missing: string };

export type Program = {
  /** Of its folder in the cache; it has the version where we choose one. */
  name: string;
  /** In that folder. */
  path: string;
  make(folder: string): Promise<void>;
};

/** A program of a Debian package, unpacked and not installed: so it is beside another one of the system's. */
export const fromDebian = (name: string): Program => ({
  name: `${name}-debian`,
  path: `usr/bin/${name}`,
  make: folder => unpack([name], folder),
});

/** The same with the libraries that this system does not have. */
export const fromDebianWithLibraries = (name: string, program: string): Program => {
  const path = `bin/${basename(program)}`;
  return {
    name: `${name}-debian`,
    path,
    async make(folder) {
      await aptUpdate();
      await unpack([name, ...(await missingLibraries(name))], folder);
      await mkdir(join(folder, 'bin'));
      await writeFile(join(folder, path), besideLibraries(program));
      await chmod(join(folder, path), 0o755);
    },
  };
};

async function unpack(packages: string[], folder: string): Promise<void> {
  await aptUpdate();
  await run('apt-get', ['-q', 'download', ...packages], { cwd: folder });
  const archives = (await readdir(folder)).filter(file => file.endsWith('.deb'));
  for (const archive of archives) await run('dpkg', ['-x', join(folder, archive), folder]);
}

/** What an installation would bring along; not what it would only replace by a newer one. */
async function missingLibraries(name: string): Promise<string[]> {
  const { stdout } = await run('apt-get', ['-s', '--no-install-recommends', 'install', name]);
  const all = [...stdout.matchAll(/^Inst (\S+) \(/gm)].map(([, one = '']) => one);
  return all.filter(one => one !== name);
}

/** The folder may have been moved since, and its libraries are in one that is named after the machine. */
const besideLibraries = (program: string) => `#!/bin/sh
root=$(dirname "$(dirname "$(readlink -f "$0")")")
for libraries in "$root"/usr/lib/*-linux-gnu; do export LD_LIBRARY_PATH="$libraries"; done
exec "$root/${program}" "$@"
`;

/**
 * Environment that has Python keep what it compiles, which takes longer than most of what it runs; and not
 * beside sources of ours.
 */
export const keepBytecode = {
  PYTHONDONTWRITEBYTECODE: '',
  PYTHONPYCACHEPREFIX: join(cache, 'compiled-python'),
};

/** A Python of its own with these packages. */
export const fromPip = (name: string, packages: string[], path = 'bin/python'): Program => ({
  name,
  path,
  async make(folder) {
    // A pip of its own would take longer than all else.
    await run('python3', ['-m', 'venv', '--without-pip', folder]);
    const pip = ['-m', 'pip', '--disable-pip-version-check', '--python', join(folder, 'bin/python')];
    await run('python3', [...pip, 'install', '-q', '--no-compile', ...packages]);
    await nameNoFolder(join(folder, 'bin'));
  },
});

/** Pip's scripts name the Python by its folder, which is moved to its place at the end. */
async function nameNoFolder(bin: string): Promise<void> {
  const ownPython = `#!${join(bin, 'python')}`;
  for (const entry of await readdir(bin, { withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(bin, entry.name);
    const [first = '', ...lines] = (await readFile(file, 'utf8')).split('\n');
    if (first.startsWith(ownPython)) await writeFile(file, [besidePython, ...lines].join('\n'));
  }
}

/** The shell runs the second line, and to Python it is a text that nobody reads. */
const besidePython = `#!/bin/sh
'''exec' "$(dirname "$(readlink -f "$0")")/python" "$0" "$@"
' '''`;

export const fromGo = (name: string, module: string, version: string): Program => ({
  name: `${name}-${version}`,
  path: name,
  async make(folder) {
    const go = findGo();
    if (!go) throw new Error('Go is not installed');
    // Without C, step-ca does not ask for the headers of smart cards.
    const env = { ...process.env, GOBIN: folder, CGO_ENABLED: '0' };
    await run(go, ['install', `${module}@${version}`], { env, maxBuffer: 64 * 1024 * 1024 });
  },
});

/**
 * Finds a program in the cache, or brings it there.
 *
 * @param unless why nothing is to be brought: then only what is in the cache will do
 */
export async function bring({ name, path, make }: Program, unless?: string): Promise<Found> {
  const programs = join(cache, 'programs');
  const folder = join(programs, name);
  if (existsSync(join(folder, path))) return { path: join(folder, path) };
  if (unless !== undefined) return { missing: unless };
  await mkdir(programs, { recursive: true });
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
  return { path: join(folder, path) };
}
