import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findCommand, pathFolders } from './find-command.ts';

// The one place that finds, or installs, the programs that tests and the quickstart need.

const run = promisify(execFile);

const debianPackages = {
  'redis-server': 'redis-server',
  pebble: 'pebble',
  'pebble-challtestsrv': 'pebble',
  jq: 'jq',
  openssl: 'openssl',
  curl: 'curl',
  wget: 'wget',
  nginx: 'nginx',
  zsh: 'zsh',
  fish: 'fish',
  busybox: 'busybox',
  bash: 'bash',
  shellcheck: 'shellcheck',
  script: 'bsdutils',
  named: 'bind9',
  dig: 'bind9-dnsutils',
  'tsig-keygen': 'bind9',
  delv: 'bind9-dnsutils',
  kdig: 'knot-dnsutils',
  'nginx-stream': 'libnginx-mod-stream',
  cc: 'gcc',
  'libc-headers': 'libc6-dev',
  'libcrypto-headers': 'libssl-dev',
} as const;

/** Services that Debian's packages start; nobody asked for that. */
const services: Partial<Record<Tool, string>> = {
  'redis-server': 'redis-server',
  nginx: 'nginx',
  named: 'named',
};

export type Tool = keyof typeof debianPackages;

const allTools = Object.keys(debianPackages) as Tool[];
const pebbleTools: readonly Tool[] = ['pebble', 'pebble-challtestsrv'];

/** Where Debian puts what is no program. */
const files: Partial<Record<Tool, string>> = {
  'nginx-stream': '/usr/lib/nginx/modules/ngx_stream_module.so',
  'libc-headers': '/usr/include/stdio.h',
  'libcrypto-headers': '/usr/include/openssl/x509.h',
};

const pebbleVersion = 'v2.10.1';
const pebbleModule = `github.com/letsencrypt/pebble/v2/cmd/...@${pebbleVersion}`;
export const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'quarry');
const pebbleCache = join(cache, `pebble-${pebbleVersion}`);

const buildFailure = `${pebbleCache}.failed`;
const hour = 3_600_000;

type Say = (line: string) => void;
const toStderr: Say = line => process.stderr.write(`${line}\n`);

/**
 * The absolute paths of the programs that are asked for (all by default). Installs what is missing: Pebble by
 * `go install` where Go is there, all else, as root, from Debian. QUARRY_TEST_REDIS names another Redis;
 * else a valkey-server answers for it, too. Throws an error of one line that says what to install by hand.
 *
 * @param say gets a line for each thing that is being installed; nothing when all is there
 */
export async function provision<Name extends Tool = Tool>(
  names: readonly Name[] = allTools as Name[],
  say: Say = toStderr,
): Promise<Record<Name, string>> {
  const wantsPebble = names.some(name => pebbleTools.includes(name));
  if (wantsPebble && !findOwnPebble()) await buildPebble(say);

  const missing = names.filter(name => !find(name));
  if (missing.length > 0) await installFromDebian(missing, say);

  const stillMissing = names.filter(name => !find(name));
  if (stillMissing.length > 0) throw new Error(`missing after installation: ${stillMissing.join(', ')}`);
  if (wantsPebble && !findOwnPebble()) await warnOfOldPebble(say);
  return Object.fromEntries(names.map(name => [name, find(name)])) as Record<Name, string>;
}

function find(name: Tool): string | undefined {
  const file = files[name];
  if (file !== undefined) return existsSync(file) ? file : undefined;
  if (name === 'redis-server')
    return process.env.QUARRY_TEST_REDIS ?? findCommand(name) ?? findCommand('valkey-server');
  if (!pebbleTools.includes(name)) return findCommand(name, [...pathFolders(), '/usr/sbin']);
  const folder = findOwnPebble() ?? pathFolders().find(holdsPebble);
  return folder && join(folder, name);
}

/** Both of Pebble's programs come from one place, so that they are of one version. */
const holdsPebble = (folder: string) => pebbleTools.every(name => findCommand(name, [folder]));

/** A Pebble that we or the user built: better than Debian's, which is several years old. */
const findOwnPebble = () =>
  [...pathFolders(), pebbleCache].find(folder => !isDebians(folder) && holdsPebble(folder));

const isDebians = (folder: string) => /^(\/usr)?\/bin\/?$/.test(folder) && existsSync('/etc/debian_version');

let warned = false;

async function warnOfOldPebble(say: Say): Promise<void> {
  const pebble = find('pebble');
  if (warned || !pebble) return;
  warned = true;
  // Before 2.5 it does not know the option.
  const version = await run(pebble, ['-version']).catch(() => undefined);
  const [, major, minor] = /v?(\d+)\.(\d+)/.exec(version?.stdout ?? 'v2.4') ?? [];
  if (major === '2' && Number(minor) < 10)
    say(`${pebble} is older than ${pebbleVersion}, which Go would build`);
}

/** It is used where it is there, and not installed. */
export const findGo = () => findCommand('go', [...pathFolders(), '/usr/local/go/bin']);

/** Without Go, or when building fails, Debian's package has to do. */
async function buildPebble(say: Say): Promise<void> {
  const go = findGo();
  if (!go || (find('pebble') && failedLately())) return;
  say(`building Pebble ${pebbleVersion} with ${go}`);
  const folder = `${pebbleCache}.${process.pid}`;
  mkdirSync(folder, { recursive: true });
  try {
    await run(go, ['install', pebbleModule], { env: { ...process.env, GOBIN: folder } });
    if (!findOwnPebble()) renameSync(folder, pebbleCache);
    say(`installed Pebble ${pebbleVersion} in ${pebbleCache}`);
  } catch (error) {
    if (findOwnPebble()) return; // Another process was faster.
    writeFileSync(buildFailure, '');
    say(`building Pebble failed: ${lastLine(error)}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** With an older Pebble at hand, not every test process tries again. */
function failedLately(): boolean {
  const failure = statSync(buildFailure, { throwIfNoEntry: false });
  return failure !== undefined && Date.now() - failure.mtimeMs < hour;
}

async function installFromDebian(missing: readonly Tool[], say: Say): Promise<void> {
  const packages = [...new Set(missing.map(name => debianPackages[name]))];
  const orGo = packages.includes('pebble') ? `; Pebble: go install ${pebbleModule}` : '';
  const byHand = `install ${missing.join(', ')} (Debian: apt-get install ${packages.join(' ')}${orGo})`;
  if (!findCommand('apt-get')) throw new Error(byHand);
  if (process.getuid?.() !== 0) throw new Error(`${byHand}, or run as root`);

  say(`installing from Debian: ${packages.join(' ')}`);
  try {
    await aptUpdate();
    await aptGet('install', '-y', '--no-install-recommends', ...packages);
  } catch (error) {
    throw new Error(`${byHand}: ${lastLine(error)}`);
  }
  for (const name of missing) if (services[name]) await stopService(services[name]);
  say(`installed from Debian: ${packages.join(' ')}`);
}

/**
 * One at a time, also when several test processes find the same program missing; and it waits for an apt of
 * others.
 */
export async function aptGet(...args: string[]): Promise<void> {
  mkdirSync(cache, { recursive: true });
  const lock = join(cache, 'apt.lock');
  const command = ['apt-get', '-q', '-o', 'DPkg::Lock::Timeout=300', ...args];
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await run('flock', [lock, ...command], { env, maxBuffer: 64 * 1024 * 1024 });
}

let updated: Promise<void> | undefined;

/** Asks for the lists of packages, once in a process. */
export function aptUpdate(): Promise<void> {
  updated ??= aptGet('update').catch(() => {}); // Yesterday's lists may do.
  return updated;
}

async function stopService(service: string): Promise<void> {
  const stop = existsSync('/run/systemd/system')
    ? `systemctl disable --now ${service}`
    : `invoke-rc.d ${service} stop; update-rc.d ${service} disable`;
  await run('sh', ['-c', stop]).catch(() => {});
}

export function lastLine(error: unknown): string {
  const { stderr, message } = error as Error & { stderr?: string };
  return (stderr || message).trim().split('\n').at(-1) ?? '';
}

if (import.meta.main) {
  await provision(allTools, line => process.stdout.write(`${line}\n`)).catch(error => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  });
}
