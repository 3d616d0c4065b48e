import type { Clock, Log } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import { atOption } from '../../shared/base/file-error.ts';
import type { Live } from '../../shared/base/live.ts';
import type { Store } from '../../shared/base/redis.ts';
import type { TrailConfig } from '../../shared/config/trail.ts';
import type { Notices } from '../../shared/queue/notices.ts';
import { drainTrail, findWaiting, type TrailConsumer } from '../../shared/trail/drain.ts';
import { FILES, openTrailFiles, type TrailFiles } from '../../shared/trail/files.ts';
import { openSigningKey } from '../../shared/trail/signing-key.ts';
import { openSyslogConsumer, SYSLOG } from '../../shared/trail/syslog.ts';

/** How many entries stay in Redis for `quarry trail show` where no files have them. */
const KEPT_IN_REDIS = 20_000;
const UPKEEP_INTERVAL = 300_000;
/** Events that wait for so long are a message to operators; milliseconds. */
const PATIENCE = 60_000;

type Parts = {
  /** Of the moment; only how long files are kept may change. */
  trail: Live<TrailConfig>;
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
  const { consumers, store, log } = parts;
  const trail = parts.trail.current;
  const syslog = trail.syslog ? [openSyslogConsumer(trail.syslog)] : [];
  const keep = trail.dir === undefined ? KEPT_IN_REDIS : 0;
  const sealing = trail.dir === undefined ? undefined : openSealing(parts, trail.dir);
  const all = [...(sealing ? [sealing.consumer] : []), ...syslog, ...consumers];
  const alarms = all.map(({ name }) => ({ name, alarm: openAlarm(parts, name) }));

  return async signal => {
    const { failed } = await drainTrail(store, { consumers: all, keep }, signal);
    for (const [consumer, error] of failed)
      log.warn({ consumer, reason: describeError(error) }, 'events of the trail wait in Redis');
    const unsealed = await sealing?.end(failed.get(FILES));
    for (const { name, alarm } of alarms) await alarm(name === FILES ? unsealed : failed.get(name));
  };
}

/** The directory is locked from the first event of a run to its end; where there is none, now and then. */
function openSealing(parts: Parts, directory: string) {
  const { trail, keyFile, store, clock, log } = parts;
  let files: TrailFiles | undefined;
  let nextUpkeep = 0;

  async function open(): Promise<TrailFiles> {
    const key = await openSigningKey(keyFile).catch(error => {
      throw atOption(error, '[trail] key-file');
    });
    files ??= await openTrailFiles({ directory, key, keep: trail.current.keep, store, clock, log });
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
    /** @returns why something is not sealed, or not kept in order */
    async end(error: unknown): Promise<unknown> {
      const failure = atOption(error ?? (await upkeep().catch(fault => fault)), '[trail] dir');
      await files?.[Symbol.asyncDispose]();
      files = undefined;
      if (failure !== undefined)
        log.error({ directory, reason: describeError(failure) }, 'the trail cannot be sealed');
      return failure;
    },
  };
}

/**
 * Tells operators when events wait for a consumer for too long, as Redis keeps them until all have them, and
 * when that is over.
 */
function openAlarm({ trail, store, notices, clock }: Parts, consumer: string) {
  const subject = consumer === FILES ? 'trail' : `trail/${consumer}`;
  const why =
    consumer === FILES ? `, as they cannot be sealed into ${trail.current.dir}` : ` for ${consumer}`;
  let isTold = true; // a process before this one may have told

  return async (failure: unknown): Promise<void> => {
    if (failure === undefined) {
      if (isTold) await notices.ended(subject, ['trail-unsealed']);
      isTold = false;
      return;
    }
    const waiting = await findLate(store, consumer, clock);
    if (!waiting) return;
    const detail = `events since ${waiting.since} wait in Redis${why}: ${describeError(failure)}`;
    await notices.notify({ kind: 'trail-unsealed', subject, names: [], detail });
    isTold = true;
  };
}

/** What waits for so long that operators should know it. */
async function findLate(store: Store, consumer: string, clock: Clock) {
  const waiting = await findWaiting(store, consumer);
  if (!waiting || clock.now() - waiting.since < PATIENCE) return undefined;
  return { count: waiting.count, since: new Date(waiting.since).toISOString() };
}

/** What an operator should know who asks how the scheduler is. */
export async function readTrailNotes(
  { dir, syslog }: Pick<TrailConfig, 'dir' | 'syslog'>,
  store: Store,
  clock: Clock,
): Promise<string[]> {
  const unsealed = dir === undefined ? undefined : await findLate(store, FILES, clock);
  const unsent = syslog && (await findLate(store, SYSLOG, clock));
  return [
    ...(unsealed ? [`${unsealed.count} events of the trail are not sealed, since ${unsealed.since}`] : []),
    ...(unsent ? [`events of the trail wait for syslog since ${unsent.since}; Redis keeps them`] : []),
  ];
}
