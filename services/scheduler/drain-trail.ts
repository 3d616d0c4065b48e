import { type Clock, describeError, type Log } from '../../shared/base/basics.ts';
import type { Store } from '../../shared/base/redis.ts';
import type { TrailConfig } from '../../shared/config/trail.ts';
import type { Notices } from '../../shared/queue/notices.ts';
import { drainTrail, findWaiting, type TrailConsumer } from '../../shared/trail/drain.ts';
import { openTrailFiles, type TrailFiles } from '../../shared/trail/files.ts';
import { openSigningKey } from '../../shared/trail/signing-key.ts';
import { openSyslogConsumer } from '../../shared/trail/syslog.ts';

/** How many entries stay in Redis for `quarry trail show` where no files have them. */
const KEPT_IN_REDIS = 20_000;
/** The consumer that seals. */
const FILES = 'files';
const UPKEEP_INTERVAL = 300_000;
/** Events that wait for so long are a message to operators; milliseconds. */
const PATIENCE = 60_000;

type Parts = {
  trail: TrailConfig;
  /** The key that signs. */
  keyFile: string;
  /** What takes events besides files and syslog, in this order. */
  consumers: readonly TrailConsumer[];
  store: Store;
  notices: Notices;
  clock: Clock;
  log: Log;
};

/**
 * Hands events on from Redis: into sealed files, to syslog, and to the other consumers. What fails is tried
 * again at the next run, and its events wait in Redis.
 */
export function openTrailDrain(parts: Parts): (signal: AbortSignal) => Promise<void> {
  const { trail, consumers, store, log } = parts;
  const syslog = trail.syslog ? [openSyslogConsumer(trail.syslog)] : [];
  const keep = trail.dir === undefined ? KEPT_IN_REDIS : 0;
  const sealing = trail.dir === undefined ? undefined : openSealing(parts, trail.dir);

  return async signal => {
    const first = sealing ? [sealing.consumer] : [];
    const all = [...first, ...syslog, ...consumers];
    const { failed } = await drainTrail(store, { consumers: all, keep }, signal);
    for (const [consumer, error] of failed)
      log.warn({ consumer, reason: describeError(error) }, 'events of the trail wait in Redis');
    await sealing?.end(failed.get(FILES));
  };
}

/** The directory is locked from the first event of a run to its end; where there is none, now and then. */
function openSealing(parts: Parts, directory: string) {
  const { trail, keyFile, store, clock, log } = parts;
  let files: TrailFiles | undefined;
  let nextUpkeep = 0;
  let isTold = true; // a process before this one may have told

  async function open(): Promise<TrailFiles> {
    const key = await openSigningKey(keyFile);
    files ??= await openTrailFiles({ directory, key, keep: trail.keep, store, clock, log });
    return files;
  }

  async function upkeep(): Promise<void> {
    if (clock.now() < nextUpkeep && !files) return;
    await (await open()).upkeep();
    nextUpkeep = clock.now() + UPKEEP_INTERVAL;
  }

  return {
    consumer: {
      name: FILES,
      take: async (entries, oldest) => (await open()).take(entries, oldest),
    } satisfies TrailConsumer,
    async end(error: unknown): Promise<void> {
      const failure = error ?? (await upkeep().catch(fault => fault));
      await files?.[Symbol.asyncDispose]();
      files = undefined;
      if (failure !== undefined) isTold = (await tellOfFailure(parts, directory, failure)) || isTold;
      else if (isTold) await parts.notices.ended('trail', ['trail-unsealed']);
      if (failure === undefined) isTold = false;
    },
  };
}

/** @returns whether operators were told */
async function tellOfFailure(
  { store, notices, clock, log }: Parts,
  directory: string,
  failure: unknown,
): Promise<boolean> {
  const reason = describeError(failure);
  log.error({ directory, reason }, 'the trail cannot be sealed');
  const waiting = await findWaiting(store, FILES);
  if (!waiting || clock.now() - waiting.since < PATIENCE) return false;
  const since = new Date(waiting.since).toISOString();
  const detail = `events since ${since} wait in Redis, as they cannot be sealed into ${directory}: ${reason}`;
  await notices.notify({ kind: 'trail-unsealed', subject: 'trail', names: [], detail });
  return true;
}

/** What an operator should know who asks how the scheduler is. */
export async function readTrailNotes(store: Store, clock: Clock): Promise<string[]> {
  const waiting = await findWaiting(store, FILES);
  if (!waiting || clock.now() - waiting.since < PATIENCE) return [];
  return [
    `${waiting.count} events of the trail are not sealed, since ${new Date(waiting.since).toISOString()}`,
  ];
}
