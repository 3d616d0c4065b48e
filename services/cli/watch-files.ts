import { type FSWatcher, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { listFiles } from '../../shared/config/config-files.ts';

/** Milliseconds that files have to lie still before they are read: an editor writes one in steps. */
const SETTLE = 300;
/**
 * Milliseconds between looks where nobody tells of changes: NFS, or a folder that was put in place of
 * another.
 */
const LOOK_AGAIN = 10_000;

type Times = { settle: number; lookAgain: number };

/**
 * While it is set to, calls `changed` once it watches, and when the files of a configuration have changed:
 * their content, which files a folder has, or where a symbolic link leads, as when Kubernetes exchanges
 * `..data` for a new ConfigMap.
 *
 * @param paths files, and folders that stand for the files in them
 */
export function openWatch(
  paths: readonly string[],
  changed: () => void,
  times: Times = { settle: SETTLE, lookAgain: LOOK_AGAIN },
): Disposable & { set(isOn: boolean): void } {
  let watching: Disposable | undefined;
  const end = () => {
    watching?.[Symbol.dispose]();
    watching = undefined;
  };
  return {
    set(isOn) {
      if (!isOn) return end();
      watching ??= watchFiles(paths, changed, times);
    },
    [Symbol.dispose]: end,
  };
}

function watchFiles(paths: readonly string[], changed: () => void, { settle, lookAgain }: Times): Disposable {
  const ended = new AbortController();
  let last: string | undefined;
  let isLooking = false;
  let isTouched = false;

  async function look(): Promise<void> {
    if (isLooking) return;
    isLooking = true;
    do {
      isTouched = false;
      const mark = last === undefined ? await markOf(paths) : await markAtRest(last);
      ended.signal.throwIfAborted();
      if (mark !== last) changed();
      last = mark;
    } while (isTouched);
    isLooking = false;
  }

  /** What is being written is not to be read by half, whoever has seen that it changes. */
  async function markAtRest(known: string): Promise<string> {
    let mark = await markOf(paths);
    while (mark !== known) {
      await delay(settle, undefined, { ref: false, signal: ended.signal });
      const next = await markOf(paths);
      if (next === mark) break;
      mark = next;
    }
    return mark;
  }

  const lookNow = () => void look().catch(() => {}); // it has ended
  const touched = () => {
    isTouched = true;
    lookNow();
  };
  const folders = new Set(paths.flatMap(path => [dirname(path), path]));
  const watchers = [...folders].flatMap(folder => watchFolder(folder, touched) ?? []);
  const interval = setInterval(lookNow, lookAgain).unref();
  lookNow();
  return {
    [Symbol.dispose]() {
      ended.abort();
      for (const watcher of watchers) watcher.close();
      clearInterval(interval);
    },
  };
}

/** Where the system cannot watch, as when it has no watches left, only looks find changes. */
function watchFolder(path: string, touched: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(path, { persistent: false }, touched);
    return watcher.on('error', () => watcher.close());
  } catch {
    return undefined;
  }
}

/** Differs whenever a file does; symbolic links are followed. */
async function markOf(paths: readonly string[]): Promise<string> {
  const files = await listFiles(paths).catch(() => [...paths]);
  const marks = files.map(async file => {
    const found = await stat(file, { bigint: true }).catch(() => undefined);
    return found ? `${file} ${found.dev} ${found.ino} ${found.size} ${found.mtimeNs} ${found.ctimeNs}` : file;
  });
  return (await Promise.all(marks)).join('\n');
}
