import { type BigIntStats, stat, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { RECORD_FILE } from './file-upkeep.ts';

// How the files of an entry are looked at, without holding up anything else on a file system that hangs.

/** What tells the files of an entry from those that come in their place. */
type Look = {
  /** Differs whenever a file does. */
  mark: string;
  /** When one of them was changed last, in milliseconds since the epoch. */
  changed: number;
};

// Not by `join`, which takes as long as a look.
const certificateIn = (folder: string) => `${folder}/cert.pem`;
const recordIn = (folder: string) => `${folder}/${RECORD_FILE}`;

/** `undefined` where there is no certificate. Its CSR is passed over, as no other can have this place. */
export async function lookAt(folder: string): Promise<Look | undefined> {
  const certificate = await statIfThere(certificateIn(folder));
  return certificate && toLook(certificate, await statIfThere(recordIn(folder)));
}

/**
 * The same, while everything else waits: only for what was read before in a file system of a local type. The
 * kernel has that in its memory, if that is not very short, and does not ask the disk.
 */
export function lookAtOnce(folder: string): Look | undefined {
  const certificate = statSync(certificateIn(folder), asBigInts);
  return certificate && toLook(certificate, statSync(recordIn(folder), asBigInts));
}

const asBigInts = { bigint: true, throwIfNoEntry: false } as const;

/** `undefined` where there is no such file. */
function statIfThere(path: string): Promise<BigIntStats | undefined> {
  return new Promise((resolve, reject) => {
    stat(path, { bigint: true }, (error, found) => {
      if (error && error.code !== 'ENOENT') reject(error);
      else resolve(found);
    });
  });
}

function toLook(certificate: BigIntStats, record: BigIntStats | undefined): Look {
  const files = record ? [certificate, record] : [certificate];
  const marks = files.map(
    ({ dev, ino, size, mtimeNs, ctimeNs }) => `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`,
  );
  return { mark: marks.join(), changed: Math.max(...files.map(({ ctimeMs }) => Number(ctimeMs))) };
}

/**
 * Finds what is asked for in one turn of the event loop when that ends, each place once: posts that came
 * together go on together, which takes less CPU than one after the other. No answer is older than what it
 * answers.
 */
export function openFindTogether<T>(find: (place: string) => T): (place: string) => Promise<T> {
  let wanted = new Map<string, PromiseWithResolvers<T>>();

  function findAll() {
    const asked = wanted;
    wanted = new Map();
    for (const [place, { resolve, reject }] of asked) {
      try {
        resolve(find(place));
      } catch (error) {
        reject(error);
      }
    }
  }

  return place => {
    if (wanted.size === 0) setImmediate(findAll);
    const asked = wanted.get(place) ?? Promise.withResolvers<T>();
    wanted.set(place, asked);
    return asked.promise;
  };
}

/** What statfs(2) calls ext2 to ext4, XFS, Btrfs, ZFS, F2FS, bcachefs and tmpfs. */
const localTypes = new Set([0xef53, 0x58465342, 0x9123683e, 0x2fc12fc1, 0xf2f52010, 0xca451a4e, 0x01021994]);

/**
 * Whether the kernel answers for such a file system by itself, and asks no other machine and no program. An
 * overlay may lie on any other, and does not say on which.
 *
 * @param type as statfs(2) has it
 */
export const isLocalType = (type: number): boolean => localTypes.has(type);

/** What statfs(2) calls the file system of a file; 0 where it does not say. */
export type TypeOf = (path: string) => Promise<number>;

export const fileSystemType: TypeOf = path =>
  statfs(path).then(
    ({ type }) => type,
    () => 0,
  );
