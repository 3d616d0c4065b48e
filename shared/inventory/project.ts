import type { Log } from '../base/basics.ts';
import { describeError } from '../base/errors.ts';
import type { TrailEntry, TrailEvent } from '../trail/event.ts';
import { type InventoryEntry, idOf, type Origin, toEntry } from './entry.ts';
import { type Note, type NoteKind, noteKinds } from './records.ts';
import type { InventoryWriter } from './writer.ts';

/** The consumer of the trail that keeps the inventory. */
export const INVENTORY = 'inventory';

/** What an operator's `quarry forget` says in the trail, before the name. */
export const FORGET = 'forget';

/** A certificate is read in a quarter of a millisecond, and both the event loop and Redis are others' too. */
const AT_ONCE = 100;

/**
 * Writes into the inventory what some events say, in the order of the trail. The same events again say the
 * same: whoever reads the trail may begin again with what it had read already.
 */
export function openProjection(
  writer: Pick<InventoryWriter, 'add' | 'note'>,
  log: Log,
): (entries: readonly TrailEntry[]) => Promise<void> {
  function read({ event, leaf }: TrailEntry): InventoryEntry | undefined {
    if (event?.event !== 'issued' || leaf === undefined) return undefined;
    try {
      return readIssued(event, leaf);
    } catch (error) {
      const { names, serial } = event;
      const reason = describeError(error);
      return void log.error({ names, serial, reason }, 'a certificate cannot be inventoried');
    }
  }

  async function project(entries: readonly TrailEntry[]): Promise<void> {
    const issued = entries.flatMap(one => {
      const entry = read(one);
      return entry ? [{ entry, at: one.event?.at ?? entry.notBefore }] : [];
    });
    await writer.add(issued);
    const notes = entries.flatMap(({ event }) => (event && toNote(event)) ?? []);
    for (const kind of noteKinds) {
      const ofKind = notes.filter(one => one.kind === kind);
      await writer.note(kind, ofKind);
    }
  }

  return async entries => {
    for (let at = 0; at < entries.length; at += AT_ONCE) await project(entries.slice(at, at + AT_ONCE));
  };
}

/** Throws an Error when it is damaged, or not the certificate that the event is about. */
function readIssued(event: TrailEvent, leaf: string): InventoryEntry {
  const { block, account, fingerprint } = event;
  const entry = toEntry(Buffer.from(leaf, 'base64'), { how: originOf(event), block, account });
  if (fingerprint !== undefined && fingerprint !== entry.fingerprint)
    throw new Error('it is another one than the event says');
  return entry;
}

/** A renewal has no client, and what a shaman profile gets has no job. */
function originOf({ client, job }: TrailEvent): Origin {
  if (job === undefined) return 'shaman';
  return client === undefined ? 'ahead' : 'post';
}

/** What an event says of a certificate; of most events that is nothing. */
function toNote(event: TrailEvent): { kind: NoteKind; id: string; note: Note } | undefined {
  const { at, by, client, fingerprint } = event;
  const kind = kindOf(event);
  if (kind === undefined || fingerprint === undefined) return undefined;
  return { kind, id: idOf(fingerprint), note: { at, by, client } };
}

/** A client that ordered a certificate gets it. */
function kindOf({ event, client, detail = '' }: TrailEvent): NoteKind | undefined {
  if (event === 'handed-out' || (event === 'issued' && client !== undefined)) return 'fetched';
  if (event === 'revoked') return 'revoked';
  return event === 'operator' && detail.startsWith(`${FORGET} `) ? 'forgotten' : undefined;
}
