import { BEGINNING, type Head, type NoteKind } from './line.ts';
import type { SealState } from './plan-lines.ts';

/** What is known of the trail's end where the sealer begins. */
type Found = {
  /** What the directory says, where that is signed with our key. */
  own: Head | undefined;
  /** What Redis says, under the same condition. */
  known: Head | undefined;
  /** The last whole line of the last file; `undefined` where there is no file. */
  last: { end: { n: number; hash: string }; file: string; size: number } | undefined;
  /** The id of a trail that begins. */
  fresh: string;
};

export type Begin = { state: SealState; from: number; notes: { note: NoteKind; detail: string }[] };

const NOTHING = { file: '', size: 0, id: '0-0', unmarked: false };

/**
 * Where sealing goes on. What is missing is noted in the trail itself, so that whoever verifies it reads of
 * it.
 *
 * @throws Error where the trail of this Redis goes on in another directory
 */
export function decideBegin({ own, known, last, fresh }: Found): Begin {
  if (own && known && own.trail !== known.trail) throw elsewhere(known, `this one holds trail ${own.trail}`);
  if (!own && known && !last) throw elsewhere(known, 'this one is empty');
  if (own && known)
    return own.n < known.n
      ? goOn(known, [lost(`line ${known.n} was sealed, but the directory ended at line ${own.n}`)])
      : goOn(own, []);
  if (known) return goOn(known, [lost('head.json was missing, or had no signature of ours')]);
  if (own) return goOn({ ...own, at: { ...own.at, id: '0-0' } }, [resumed]);
  if (!last) return { state: { trail: fresh, end: BEGINNING, at: NOTHING }, from: 1, notes: [] };
  const at = { file: last.file, size: last.size, id: '0-0', unmarked: true };
  return {
    state: { trail: fresh, end: last.end, at },
    from: 1,
    notes: [lost('neither head.json nor Redis said where the trail ended')],
  };
}

const goOn = ({ trail, n, hash, from, at }: Head, notes: Begin['notes']): Begin => ({
  state: { trail, end: { n, hash }, at },
  from,
  notes,
});

const lost = (detail: string) => ({ note: 'lost' as const, detail });

const resumed = {
  note: 'resumed' as const,
  detail: 'Redis had lost where the trail ended; events that were not sealed by then may be missing',
};

const elsewhere = ({ trail, n }: Head, here: string) =>
  new Error(
    `trail ${trail} of this Redis is sealed up to line ${n} in another directory, and ${here}: ` +
      'name that directory, or begin a new trail with quarry trail restart',
  );
