import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findCommand } from './find-command.ts';
import { tempDir } from './temp-dir.ts';

// CAs that cannot be told otherwise validate at port 80 and ask the system's resolver. In a network of its
// own, a test has both to itself.

const mark = 'QUARRY_TEST_OWN_NETWORK';

/** What was handed to this process, where it runs in a network of its own; else undefined. */
export const handedOver = (): string | undefined => process.env[mark];

/** `unshare` and its flags; undefined where this system has no namespaces, or does not grant them. */
function findUnshare(): [string, ...string[]] | undefined {
  const unshare = findCommand('unshare');
  const [ip, mount] = [findCommand('ip', ['/usr/sbin', '/sbin', '/usr/bin']), findCommand('mount')];
  if (!unshare || !ip || !mount) return undefined;
  const asRoot = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
  const flags = [...asRoot, '--net', '--mount'] as const;
  const granted = spawnSync(unshare, [...flags, 'ip', 'link', 'set', 'lo', 'up']).status === 0;
  return granted ? [unshare, ...flags] : undefined;
}

/**
 * Runs a test file again in a network of its own, where every port is free and all names are asked of
 * 127.0.0.1. What it reports goes where this process's reports go.
 *
 * @param handed what `handedOver` answers there
 * @returns its exit code; undefined where this system grants no such network
 */
export async function runInOwnNetwork(file: string, handed: string): Promise<number | undefined> {
  const unshare = findUnshare();
  if (!unshare) return undefined;
  await using dir = await tempDir();
  const resolver = join(dir.path, 'resolv.conf');
  await writeFile(resolver, 'nameserver 127.0.0.1\n');
  const script = 'ip link set lo up && mount --bind "$0" /etc/resolv.conf && exec "$@"';
  const again = [process.execPath, ...process.execArgv, file];
  const [command, ...flags] = unshare;
  const child = spawn(command, [...flags, '--kill-child', '--fork', 'sh', '-c', script, resolver, ...again], {
    stdio: 'inherit',
    env: { ...process.env, [mark]: handed },
  });
  const [code] = await once(child, 'exit');
  return code ?? 1;
}
