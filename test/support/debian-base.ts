import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findCommand, pathFolders } from './find-command.ts';
import { aptGet, cache, lastLine } from './provision.ts';

// A fresh Debian, as its installer leaves a server without any task: with systemd, and without Node. Machines
// of tests are made over it.

const run = promisify(execFile);

const suite = 'bookworm';
const mirror = 'http://deb.debian.org/debian';
const base = join(cache, `debian-${suite}-1`);

const installed = ['ca-certificates', 'dbus', 'iproute2', 'systemd', 'systemd-sysv'];
/** Lie in its archive, as machines of tests reach no mirror. */
const reachable = ['curl', 'openssl', 'redis-server', 'nginx-light'];

const systemFolders = ['/usr/sbin', '/sbin'];

/** The folder of its root; or, in one line, why it is not to be had. */
export async function findDebianBase(
  say: (line: string) => void,
): Promise<{ path: string } | { missing: string }> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return { missing: 'it takes root, on Linux' };
  if (existsSync(base)) return { path: base };
  if (!findCommand('apt-get')) return { missing: 'Debian is not to be had here: there is no apt-get' };
  const making = `${base}.${process.pid}`;
  try {
    if (!findDebootstrap()) await aptGet('install', '-y', '--no-install-recommends', 'debootstrap');
    say(`making a Debian root in ${base}, once; it takes some minutes`);
    await mkdir(cache, { recursive: true });
    await make(making);
    await rename(making, base).catch(() => {}); // Another process was faster.
  } catch (error) {
    return { missing: `Debian is not to be had here: ${lastLine(error)}` };
  } finally {
    await rm(making, { recursive: true, force: true });
  }
  return { path: base };
}

const findDebootstrap = () => findCommand('debootstrap', [...pathFolders(), ...systemFolders]);

async function make(root: string): Promise<void> {
  const options = { maxBuffer: 64 * 1024 * 1024, env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
  const words = ['--variant=minbase', `--include=${installed.join(',')}`, suite, root, mirror];
  await run(findDebootstrap() ?? 'debootstrap', words, options);
  // Machines of tests have no other DNS than the tests give them.
  await writeFile(join(root, 'etc/resolv.conf'), 'nameserver 127.0.0.1\n');
  const archive = join(root, 'var/cache/apt/archives');
  for (const name of await readdir(archive)) if (name.endsWith('.deb')) await rm(join(archive, name));
  const apt = (...more: string[]) => run('apt-get', [`-oDir=${root}`, ...inRoot(root), ...more], options);
  await apt('update');
  await apt('install', '-y', '--download-only', ...reachable);
}

/** This system's apt, as it knows how to reach a mirror, with that root's state. */
const inRoot = (root: string) => [
  `-oDir::State::status=${root}/var/lib/dpkg/status`,
  '-oDir::Bin::methods=/usr/lib/apt/methods',
  '-oAPT::Sandbox::User=root',
  '-qq',
];
