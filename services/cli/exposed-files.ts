import { realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { labelOf } from '../../shared/ca/account-section.ts';
import { describeAt, type Place } from '../../shared/config/config-error.ts';
import type { SecretFile } from '../../shared/config/reading.ts';
import { trailKeyFile } from '../../shared/config/trail.ts';
import type { Config } from '../../shared/setup/load-config.ts';

/** What a file or a folder allows, and whose it is. */
type Access = { mode: number; gid: number };
/** Who looks: root may belong to any group for the sake of others. */
type Looker = { isRoot: boolean; groups: readonly number[] };
type Exposure = { to: 'everyone' | 'group'; access: Access };

/** A container engine makes it for one container alone, in which everybody may read it. */
const CONTAINER_SECRETS = '/run/secrets/';

/**
 * The files with secrets that others on this machine may read or change, each in a line with what to do:
 * keys, files of secrets, and configurations in which a secret stands. The secret of the installation tells
 * of itself (installation.md).
 */
export async function describeExposed(config: Config): Promise<string[]> {
  const looker = { isRoot: process.getuid?.() === 0, groups: process.getgroups?.() ?? [] };
  const files = [...new Map(filesOf(config).map(one => [one.file, one])).values()];
  const looks = files.map(async ({ file, place }) => {
    const exposure = await look(file, looker);
    return exposure ? [describeAt(place, describe(file, place, exposure))] : [];
  });
  return (await Promise.all(looks)).flat();
}

function describe(file: string, place: Place, { to, access: { mode, gid } }: Exposure): string {
  const [who, letter, bit] =
    to === 'everyone' ? ['every user of this machine', 'o', 0o004] : [`the group ${gid}`, 'g', 0o040];
  const can = mode & Number(bit) ? 'can read' : 'can change';
  const octal = (mode & 0o7777).toString(8).padStart(4, '0');
  const what = place.file === file ? `is a secret in a file that ${who} ${can}` : `${who} ${can} ${file}`;
  return `${what} (mode ${octal}): chmod ${letter}-rwx ${file}`;
}

/** The first option that a file is of counts. */
function filesOf(config: Config): SecretFile[] {
  const { secretFiles, accounts, mgmt, redis, trail } = config;
  const keys = [...accounts.values()].map(({ name, dir }) =>
    toFile(join(dir, 'account.pem'), { name: 'account', label: labelOf(name) }, 'dir'),
  );
  return [
    ...keys,
    ...(mgmt.tls ? [toFile(mgmt.tls.keyFile, { name: 'mgmt' }, 'tls-key')] : []),
    ...(trail.dir === undefined ? [] : [toFile(trailKeyFile(config), { name: 'trail' }, 'key-file')]),
    ...(redis.tlsFiles.keyFile === undefined
      ? []
      : [toFile(redis.tlsFiles.keyFile, { name: 'redis' }, 'tls-key')]),
    ...secretFiles.toReversed(),
  ];
}

const toFile = (file: string, section: Place['section'], option: string): SecretFile => ({
  file,
  place: { section, option },
});

/** Links are followed. What is absent, or cannot be looked at, is exposed to nobody as far as can be told. */
async function look(file: string, looker: Looker): Promise<Exposure | undefined> {
  const path = await realpath(file).catch(() => undefined);
  if (path === undefined || path.startsWith(CONTAINER_SECRETS)) return undefined;
  const accesses = await Promise.all([path, ...foldersOf(path)].map(one => stat(one))).catch(() => []);
  const [own, ...folders] = accesses;
  return own && findExposure(own, folders, looker);
}

function foldersOf(path: string): string[] {
  const folder = dirname(path);
  return folder === path ? [] : [folder, ...foldersOf(folder)];
}

/**
 * Who may read or change a file that a service's user alone should. Whoever may not pass through its folders
 * cannot. That its group is root's, or one of the user who looks, is meant so.
 *
 * @param folders all above it
 */
export function findExposure(
  file: Access,
  folders: readonly Access[],
  { isRoot, groups }: Looker,
): Exposure | undefined {
  const isOpen = (access: Access, bits: number) => (access.mode & bits) !== 0;
  if (isOpen(file, 0o006) && folders.every(folder => isOpen(folder, 0o001)))
    return { to: 'everyone', access: file };
  if (!isOpen(file, 0o060) || file.gid === 0 || isRoot || groups.includes(file.gid)) return undefined;
  const lets = (folder: Access) =>
    isOpen(folder, 0o001) || (folder.gid === file.gid && isOpen(folder, 0o010));
  return folders.every(lets) ? { to: 'group', access: file } : undefined;
}
