import { spawnSync } from 'node:child_process';
import { findCommand } from '../support/find-command.ts';

// For clients that trust what the system trusts, and cannot be told otherwise.

const systemFile = '/etc/ssl/certs/ca-certificates.crt';

const unshare = (): [string, string[]] => {
  const asRoot = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
  return [findCommand('unshare') ?? 'unshare', [...asRoot, '--mount']];
};

/** Runs a command where the system trusts this CA, and no other. */
export function trustAsSystem(caFile: string, command: string[]): [string, string[]] {
  const [program, flags] = unshare();
  const script = `mount --bind "$0" ${systemFile} && exec "$@"`;
  return [program, [...flags, 'sh', '-c', script, caFile, ...command]];
}

/** Why it cannot be done here, if so. */
export function findSystemTrust(): { missing: string } | undefined {
  const [command, args] = trustAsSystem(systemFile, ['true']);
  if (spawnSync(command, args).status === 0) return;
  return { missing: `this system grants no mounts of its own, to have a CA in ${systemFile}` };
}
