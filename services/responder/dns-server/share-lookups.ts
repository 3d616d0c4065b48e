import type { OutlastRestarts } from '../../../shared/base/redis.ts';

/** Asks what there is at a name, and is told, or why it cannot be found out. */
export type LookUp<Found> = (name: string, tell: Told<Found>) => void;
type Told<Found> = (found: Found | Error) => void;

/**
 * Has questions that arrive together share one look-up, and one answer for a name, as a CA asks from several
 * places at once. A look-up begins when all that have arrived by now are read, so no answer is older than its
 * question. Callbacks, as a promise for each question would be a third of its cost.
 *
 * @param find looks for several names at once
 * @param outlast looks for each name alone, once a look-up for all has failed
 */
export function sharingLookups<Found>(
  find: (names: string[]) => Promise<Found[]>,
  outlast: OutlastRestarts,
): LookUp<Found> {
  let waiting = new Map<string, Told<Found>[]>();

  function begin(): void {
    const asked = waiting;
    waiting = new Map();
    find([...asked.keys()]).then(
      found => {
        for (const [index, told] of [...asked.values()].entries()) tell(told, found[index] as Found);
      },
      () => {
        for (const [name, told] of asked) findAlone(name, told);
      },
    );
  }

  function findAlone(name: string, told: Told<Found>[]): void {
    outlast(() => find([name])).then(
      ([found]) => tell(told, found as Found),
      error => tell(told, error),
    );
  }

  return (name, tell) => {
    const known = waiting.get(name);
    if (known) return void known.push(tell);
    if (waiting.size === 0) setImmediate(begin);
    waiting.set(name, [tell]);
  };
}

function tell<Found>(told: Told<Found>[], found: Found | Error): void {
  for (const one of told) one(found);
}
