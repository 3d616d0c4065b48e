import { unwatchFile, watchFile } from 'node:fs';

/** Milliseconds between two looks. */
const INTERVAL = 5_000;

/** Calls `changed` when one of the files of a listener has changed; by looks, which find it on NFS, too. */
export function pollFiles(files: readonly string[], changed: () => void): Disposable {
  const look = () => changed(); // a listener of its own, as two may look at one file
  for (const file of files) watchFile(file, { interval: INTERVAL, persistent: false }, look);
  return {
    [Symbol.dispose]() {
      for (const file of files) unwatchFile(file, look);
    },
  };
}
