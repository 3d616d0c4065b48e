import type { IssuanceError } from '../base/basics.ts';
import { runScript, type Store, toScript } from '../base/redis.ts';
import { formatEntry, type InventoryEntry } from './entry.ts';
import { endPrefix, idOfLine, linesOf, namePrefix, rangeOf, revokedLinesOf } from './lines.ts';
import {
  type InventoriedCertificate,
  inventoryKeys,
  type Note,
  type NoteKind,
  noteKinds,
  openInventoryRecords,
} from './records.ts';

/** Writes what becomes of certificates. All of it may be said again, and says the same then. */
export type InventoryWriter = {
  /** Certificates were issued. Those of the same names and block that began before are superseded. */
  add(issued: readonly { entry: InventoryEntry; at: number }[]): Promise<void>;
  /**
   * Like `add`, of certificates that turned up: what is known of one already stays.
   *
   * @returns the ids of those that were not known
   */
  addFound(entries: readonly InventoryEntry[]): Promise<Set<string>>;
  /**
   * Those of certificates that are not in the inventory are passed over; of several for one certificate the
   * last one counts.
   */
  note(kind: NoteKind, notes: readonly { id: string; note: Note }[]): Promise<void>;
  /** Those that have ended leave. @returns how many */
  dropEnded(now: number, signal: AbortSignal): Promise<number>;
};

/** How many certificates of a name are looked at, to find those that a new one follows. */
const MOST_OF_A_NAME = 1_000;
const DROPPED_AT_ONCE = 200;

/**
 * Writes certificates and their lines, in place of those that they had.
 *
 * KEYS: records, index. ARGV: '1' where only what is not there is to be written; how many of a name are
 * wanted; then for each certificate: id, value, the ends of the range of its first name, how many lines go,
 * these, how many come, these. Answers for each with a list, of '1' where it was written, and lines that lead
 * to others of its first name.
 */
const PUT = toScript(`
local at, answers = 3, {}
local function each(act)
  local count = tonumber(ARGV[at])
  for i = at + 1, at + count do act(ARGV[i]) end
  at = at + count + 1
end
while at <= #ARGV do
  local id, value, from, to = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local written = ARGV[1] ~= '1' or redis.call('HEXISTS', KEYS[1], id) == 0
  at = at + 4
  if written then redis.call('HSET', KEYS[1], id, value) end
  each(function(line) if written then redis.call('ZREM', KEYS[2], line) end end)
  each(function(line) if written then redis.call('ZADD', KEYS[2], 0, line) end end)
  answers[#answers + 1] = {written and '1' or '0'}
  if written then
    for _, line in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], from, to, 'LIMIT', 0, ARGV[2])) do
      table.insert(answers[#answers], line)
    end
  end
end
return answers`);

/** KEYS: records, notes, index. ARGV: how many lines; these; then for each note: id, note. */
const NOTE = toScript(`
local first = 2 + tonumber(ARGV[1])
for i = first, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1 then redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
end
for i = 2, first - 1 do redis.call('ZADD', KEYS[3], 0, ARGV[i]) end
return 1`);

/** KEYS: index, records, notes of each kind. ARGV: id, lines. */
const REMOVE = toScript(`
for i = 2, #ARGV do redis.call('ZREM', KEYS[1], ARGV[i]) end
for i = 2, #KEYS do redis.call('HDEL', KEYS[i], ARGV[1]) end
return 1`);

/** @param damaged gets each value that cannot be read, which counts as absent then */
export function openInventoryWriter(store: Store, damaged: (error: IssuanceError) => void): InventoryWriter {
  const { redis } = store;
  const keys = inventoryKeys(store.prefix);
  const records = openInventoryRecords(store, damaged);

  async function put(entries: readonly InventoryEntry[], at: readonly number[], onlyNew: boolean) {
    if (entries.length === 0) return new Set<string>();
    const known = onlyNew ? [] : await records.read(entries.map(({ id }) => id));
    const samples = await records.samplesFor(entries);
    const args = entries.flatMap((entry, index) => {
      const [before, lines] = [known[index], linesOf(entry)];
      const going = before ? linesOf(before) : [];
      const value = formatEntry(entry, samples(entry));
      const range = rangeOf(namePrefix(entry.names[0] ?? ''));
      return [entry.id, value, ...range, going.length, ...going, lines.length, ...lines];
    });
    const where = [keys.records, keys.index];
    const answers = await runScript(redis, PUT, where, [Number(onlyNew), MOST_OF_A_NAME, ...args]);
    await noteSuperseded(entries, at, answers as string[][]);
    const written = entries.filter((_, index) => (answers as string[][])[index]?.[0] === '1');
    return new Set(written.map(({ id }) => id));
  }

  /** Of all with its names and its auth block, the one that began last supersedes the others. */
  async function noteSuperseded(
    entries: readonly InventoryEntry[],
    at: readonly number[],
    answers: readonly string[][],
  ): Promise<void> {
    const alike = answers.map(([, ...lines]) => (lines.length > 1 ? lines.map(idOfLine) : []));
    const ids = [...new Set(alike.flat())];
    const read = new Map((await records.read(ids)).map(one => [one?.id, one]));
    const notes = entries.flatMap((entry, index) => {
      const others = (alike[index] ?? []).flatMap(id => read.get(id) ?? []);
      return toSuperseded(others.filter(isLike(entry)), at[index] ?? 0);
    });
    await note('superseded', notes);
  }

  async function note(kind: NoteKind, notes: Parameters<InventoryWriter['note']>[1]): Promise<void> {
    if (notes.length === 0) return;
    const found = kind === 'revoked' ? await records.read(notes.map(({ id }) => id)) : [];
    const lines = found.flatMap(one => (one ? revokedLinesOf(one) : []));
    const texts = notes.flatMap(({ id, note }) => [id, JSON.stringify(note)]);
    const where = [keys.records, keys.notes[kind], keys.index];
    await runScript(redis, NOTE, where, [lines.length, ...lines, ...texts]);
  }

  async function drop(ids: readonly string[]): Promise<void> {
    const hashes = [keys.records, ...noteKinds.map(kind => keys.notes[kind])];
    for (const [at, one] of (await records.read(ids)).entries()) {
      const lines = one ? [...linesOf(one), ...revokedLinesOf(one)] : [];
      await runScript(redis, REMOVE, [keys.index, ...hashes], [ids[at] ?? '', ...lines]);
    }
  }

  return {
    async add(issued) {
      const [entries, at] = [issued.map(({ entry }) => entry), issued.map(one => one.at)];
      await put(entries, at, false);
    },
    addFound: entries =>
      put(
        entries,
        entries.map(({ notBefore }) => notBefore),
        true,
      ),
    note,
    async dropEnded(now, signal) {
      const [from, to] = [`[${endPrefix(0)}`, `(${endPrefix(now)}`];
      for (let dropped = 0; ; ) {
        signal.throwIfAborted();
        const lines = await redis.zrangebylex(keys.index, from, to, 'LIMIT', 0, DROPPED_AT_ONCE);
        if (lines.length === 0) return dropped;
        await drop(lines.map(idOfLine));
        await redis.zrem(keys.index, ...lines); // also of what cannot be read
        dropped += lines.length;
      }
    },
  };
}

const isLike =
  ({ names, block }: InventoryEntry) =>
  (one: InventoryEntry) =>
    one.block === block && one.names.length === names.length && one.names.every(name => names.includes(name));

/** What the last of them makes superseded that was not yet. @param at when it was issued, at the earliest */
function toSuperseded(alike: readonly InventoriedCertificate[], at: number): { id: string; note: Note }[] {
  const inOrder = alike.toSorted(
    (one, other) => one.notBefore - other.notBefore || one.notAfter - other.notAfter,
  );
  const last = inOrder.at(-1);
  const since = Math.max(at, last?.notBefore ?? at);
  return inOrder
    .slice(0, -1)
    .filter(({ superseded }) => superseded === undefined)
    .map(({ id }) => ({ id, note: { at: since, by: last?.serial } }));
}
