import type { TrailEntry } from './event.ts';
import {
  type ChainEnd,
  fileOf,
  type MarkKind,
  type NoteKind,
  type Place,
  toEventLine,
  toMarkLine,
  toNoteLine,
} from './line.ts';
import type { SigningKey } from './signing-key.ts';

/** How far the sealer is. `file` is '' before the first line. */
export type SealState = { trail: string; end: ChainEnd; at: Place };

/** Text that goes to the end of a file. */
export type Write = { file: string; text: string };

/** What is to be written, and how far the sealer is then. */
export type Plan = { writes: Write[]; state: SealState };

type Signing = { key: SigningKey; now: number };

const HOUR = 3_600_000;
const timeOf = (id: string) => Number(id.split('-')[0]);

/**
 * The lines for entries of the stream: each begins a new file where it is of a later day than the last, and
 * is signed for where it is of a later hour. Days and hours are those of Redis's clock, in UTC.
 */
export function planLines(state: SealState, entries: readonly TrailEntry[], signing: Signing): Plan {
  const plan = new Planning(state, signing);
  for (const entry of entries) plan.addEvent(entry);
  return plan.result();
}

/** A signature for the last hour that has ended; nothing where its events have one. */
export function planHourMark(state: SealState, signing: Signing): Plan {
  const plan = new Planning(state, signing);
  plan.markHour(signing.now);
  return plan.result();
}

export function planNotes(
  state: SealState,
  notes: readonly { note: NoteKind; detail: string }[],
  signing: Signing,
): Plan {
  const plan = new Planning(state, signing);
  for (const { note, detail } of notes) plan.addNote(note, detail);
  return plan.result();
}

class Planning {
  readonly #signing: Signing;
  readonly #writes: Write[] = [];
  readonly #trail: string;
  #end: ChainEnd;
  #at: Place;

  constructor({ trail, end, at }: SealState, signing: Signing) {
    this.#signing = signing;
    this.#trail = trail;
    this.#end = end;
    this.#at = at;
  }

  addEvent(entry: TrailEntry): void {
    this.#turnTo(timeOf(entry.id));
    this.#add(toEventLine(this.#end, entry));
    this.#at = { ...this.#at, id: entry.id, unmarked: true };
  }

  addNote(note: NoteKind, detail: string): void {
    const { now } = this.#signing;
    if (this.#at.file === '') this.#turnTo(now);
    this.#add(toNoteLine(this.#end, note, detail, now));
    this.#at = { ...this.#at, unmarked: true };
  }

  markHour(time: number): void {
    const last = timeOf(this.#at.id);
    if (this.#at.unmarked && Math.floor(time / HOUR) > Math.floor(last / HOUR)) this.#mark('hour');
  }

  result(): Plan {
    return { writes: this.#writes, state: { trail: this.#trail, end: this.#end, at: this.#at } };
  }

  /** A clock that goes back begins no earlier file. */
  #turnTo(time: number): void {
    const file = fileOf(time);
    if (file <= this.#at.file) this.markHour(time);
    else this.#begin(file);
  }

  #begin(file: string): void {
    if (this.#at.file !== '') this.#mark('end');
    this.#at = { ...this.#at, file, size: 0 };
    this.#mark('start');
  }

  #mark(kind: MarkKind): void {
    const { key, now } = this.#signing;
    this.#add(toMarkLine(this.#end, kind, this.#trail, key, now));
    this.#at = { ...this.#at, unmarked: false };
  }

  #add({ text, end }: { text: string; end: ChainEnd }): void {
    const { file, size } = this.#at;
    const last = this.#writes.at(-1);
    if (last?.file === file) last.text += `${text}\n`;
    else this.#writes.push({ file, text: `${text}\n` });
    this.#at = { ...this.#at, size: size + Buffer.byteLength(text) + 1 };
    this.#end = end;
  }
}
