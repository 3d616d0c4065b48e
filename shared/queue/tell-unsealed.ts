import { LRUCache } from 'lru-cache';
import type { Clock, Log } from '../base/basics.ts';
import { describeError } from '../base/errors.ts';
import type { Store } from '../base/redis.ts';
import { openTrail } from '../trail/trail.ts';

const MOST_REMEMBERED = 1_000;

/** Tells operators of what was found in Redis without a seal of this installation. Once for each job. */
type TellUnsealed = (jobId: string, detail: string) => void;

export function openTellUnsealed({
  store,
  clock,
  log,
}: {
  store: Store;
  clock: Clock;
  log: Log;
}): TellUnsealed {
  const trail = openTrail(store);
  const told = new LRUCache<string, true>({ max: MOST_REMEMBERED });
  return (jobId, detail) => {
    if (told.has(jobId)) return;
    told.set(jobId, true);
    log.warn({ job: jobId }, detail);
    trail.write({ at: clock.now(), event: 'refused', job: jobId, detail }).catch(error => {
      log.error({ job: jobId, reason: describeError(error) }, 'the trail cannot be told of it');
    });
  };
}
