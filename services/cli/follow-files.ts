import { type HearParts, hearReloads } from './hear-reloads.ts';
import { type LiveConfig, type LiveParts, openLiveConfig } from './live-config.ts';
import { openWatch } from './watch-files.ts';

type Parts = Omit<LiveParts, 'taken'> &
  Pick<HearParts, 'files' | 'redisAddress' | 'isReader'> & {
    /** Of the roles, as people read them. */
    names: readonly string[];
    /** Of the log. */
    setLevel(level: string): void;
  };

/**
 * Has the process take over what changes in its files: when `reload` is called, when `quarry reload` asks for
 * it, and, where the configuration says so, as soon as they change.
 */
export function followFiles(parts: Parts): LiveConfig & Disposable {
  const { files, names, live, setLevel, redisAddress, isReader, log } = parts;
  const watch = openWatch(files, () => following.reload());
  const following = openLiveConfig({
    ...parts,
    taken({ logging, mgmt }) {
      setLevel(logging.level);
      watch.set(mgmt.reload === 'watch');
    },
  });
  const { reload, notes } = following;
  const { mgmt, redis, secretFile } = live.current;
  watch.set(mgmt.reload === 'watch');
  const hearing = hearReloads({
    ...{ roles: names, files, reload, log, redisAddress, isReader, secretFile },
    prefix: redis.prefix,
  });
  return {
    reload,
    notes,
    [Symbol.dispose]() {
      hearing[Symbol.dispose]();
      watch[Symbol.dispose]();
    },
  };
}
