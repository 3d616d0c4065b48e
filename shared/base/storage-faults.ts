import type { Clock, Log } from './basics.ts';
import { describeError, IssuanceError } from './errors.ts';
import { type FileThreads, HangingError, openFileThreads } from './file-threads.ts';
import { Counter, type Registry } from './metrics.ts';

/** What is done to a storage. */
export type StorageAct = 'read' | 'write';

/**
 * What fails at the storages of this process, until it works again: told in the log once, counted, and noted
 * for people.
 */
export type StorageFaults = {
  /**
   * @param place the entry, as that of another one may work
   * @returns what those get who need the storage: IssuanceError `unavailable`
   */
  failed(storage: string, act: StorageAct, place: string, error: unknown): IssuanceError;
  /** @param place absent where what worked says that all will work */
  worked(storage: string, act: StorageAct, place?: string): void;
  /** A line for each storage that fails. */
  notes(): string[];
};

/** What the storages of a process share. */
export type Storing = { threads: FileThreads; faults: StorageFaults };

/** @param parts.pool how many threads Node has for files */
export const openStoring = (parts: {
  clock: Clock;
  log: Log;
  metrics?: Registry;
  pool?: number;
}): Storing => ({
  threads: openFileThreads(parts.pool),
  faults: openStorageFaults(parts),
});

/** Milliseconds after which an entry that failed, and that nobody has asked for since, counts no more. */
const LAPSE = { read: 300_000, write: 3_600_000 };
const MOST_PLACES = 1_000;

const errors = new WeakSet<object>();

/** Whether an error was told of already, as that of a storage. */
export const isStorageFault = (error: unknown): boolean => error instanceof Error && errors.has(error);

/** Whether a file system said so, or did not answer: whoever sees it has not read what is there. */
export const isFileFault = (error: unknown): boolean =>
  error instanceof HangingError || (error as NodeJS.ErrnoException | undefined)?.syscall !== undefined;

type Fault = { reason: string; at: number };
type Standing = { storage: string; act: StorageAct; places: Map<string, Fault> };

/** For clients. */
const reasons = { read: 'what is stored cannot be read', write: 'the certificate cannot be stored' };
const done = { read: 'read', write: 'written' };

/** @param parts.metrics absent where nothing is counted */
function openStorageFaults(parts: { clock: Clock; log: Log; metrics?: Registry }): StorageFaults {
  const { clock, log } = parts;
  const count = openFigure(parts.metrics);
  const standing = new Map<string, Standing>();

  function drop({ storage, act }: Standing) {
    standing.delete(`${act} ${storage}`);
    log.info({ storage }, `the storage can be ${done[act]} again`);
  }

  function dropLapsed() {
    const now = clock.now();
    for (const one of standing.values()) {
      for (const [place, { at }] of one.places) if (now - at > LAPSE[one.act]) one.places.delete(place);
      if (one.places.size === 0) standing.delete(`${one.act} ${one.storage}`);
    }
  }

  return {
    failed(storage, act, place, error) {
      const reason = describeError(error);
      dropLapsed();
      const known = standing.get(`${act} ${storage}`);
      const { places } = known ?? { places: new Map<string, Fault>() };
      if (!known) {
        standing.set(`${act} ${storage}`, { storage, act, places });
        log.warn({ storage, reason }, `the storage cannot be ${done[act]}`);
      }
      places.delete(place);
      if (places.size < MOST_PLACES) places.set(place, { reason, at: clock.now() });
      count(storage, act);
      const failure = new IssuanceError('unavailable', reasons[act], { cause: error });
      errors.add(failure);
      return failure;
    },
    worked(storage, act, place) {
      if (standing.size === 0) return;
      const known = standing.get(`${act} ${storage}`);
      if (!known) return;
      if (place === undefined) known.places.clear();
      else known.places.delete(place);
      if (known.places.size === 0) drop(known);
    },
    notes() {
      dropLapsed();
      return [...standing.values()].map(describe);
    },
  };
}

function describe({ storage, act, places }: Standing): string {
  const last = [...places.values()].at(-1);
  const others = places.size > 1 ? `, and ${places.size - 1} more` : '';
  return `storage "${storage}" cannot be ${done[act]}: ${last?.reason}${others}`;
}

function openFigure(metrics: Registry | undefined): (storage: string, act: StorageAct) => void {
  if (!metrics) return () => {};
  const counter = new Counter({
    name: 'quarry_storage_failures_total',
    help: 'What failed at a storage, by storage and act (read, write)',
    labelNames: ['storage', 'act'],
    registers: [metrics],
  });
  return (storage, act) => counter.inc({ storage, act });
}
