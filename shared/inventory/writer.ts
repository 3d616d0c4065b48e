import type { IssuanceError } from '../base/errors.ts';
import { runScript, type Store, toScript } from '../base/redis.ts';
import { formatEntry, type InventoryEntry, type InventoryFacts, shortHash } from './entry.ts';
import { endPrefix, idOfLine, linesOf, revokedLinesOf } from './lines.ts';
import { inventoryKeys, type Note, type NoteKind, noteKinds, openInventoryRecords } from './records.ts';

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

const DROPPED_AT_ONCE = 200;

/** What is written of a certificate besides its value. `own`: what `newest` has of it. */
type Put = { id: string; holder: string; own: string; going: readonly string[]; coming: readonly string[] };

/**
 * Writes certificates and their lines, in place of those that they had.
 *
 * KEYS: records, index, newest. ARGV: '1' where only what is not there is to be written; JSON, a list of
 * `Put`, as to send a hundred arguments takes longer than one; then for each of these its value.
 * Answers for each with '0' where it was not written, else with what `newest` had for its holder.
 */
const PUT = toScript(`
local answers, onlyNew = {}, ARGV[1] == '1'
local function put(one, value)
  local added = redis.call(onlyNew and 'HSETNX' or 'HSET', KEYS[1], one.id, value)
  if onlyNew and added == 0 then return '0' end
  for _, line in ipairs(one.going) do redis.call('ZREM', KEYS[2], line) end
  for _, line in ipairs(one.coming) do redis.call('ZADD', KEYS[2], 0, line) end
  local newest = redis.call('HGET', KEYS[3], one.holder) or ''
  if one.own > newest then redis.call('HSET', KEYS[3], one.holder, one.own) end
  return newest
end
for at, one in ipairs(cjson.decode(ARGV[2])) do answers[at] = put(one, ARGV[at + 2]) end
return answers`);

/** KEYS: records, notes, index. ARGV: HSET or HSETNX; how many lines; these; then for each note: id, note. */
const NOTE = toScript(`
local first = 3 + tonumber(ARGV[2])
for i = first, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1 then redis.call(ARGV[1], KEYS[2], ARGV[i], ARGV[i + 1]) end
end
for i = 3, first - 1 do redis.call('ZADD', KEYS[3], 0, ARGV[i]) end
return 1`);

/** KEYS: index, newest, records, notes of each kind. ARGV: id, holder, what `newest` has of it, lines. */
const REMOVE = toScript(`
if redis.call('HGET', KEYS[2], ARGV[2]) == ARGV[3] then redis.call('HDEL', KEYS[2], ARGV[2]) end
for i = 4, #ARGV do redis.call('ZREM', KEYS[1], ARGV[i]) end
for i = 3, #KEYS do redis.call('HDEL', KEYS[i], ARGV[1]) end
return 1`);

/** @param damaged gets each value that cannot be read, which counts as absent then */
export function openInventoryWriter(store: Store, damaged: (error: IssuanceError) => void): InventoryWriter {
  const { redis } = store;
  const keys = inventoryKeys(store.prefix);
  const records = openInventoryRecords(store, damaged);

  async function put(entries: readonly InventoryEntry[], at: readonly number[], onlyNew: boolean) {
    if (entries.length === 0) return new Set<string>();
    const known = onlyNew ? [] : await records.readFacts(entries.map(({ id }) => id));
    const samples = await records.samplesFor(entries);
    const puts = entries.map((entry, index) => toPut(entry, known[index]));
    const values = entries.map(entry => formatEntry(entry, samples(entry)));
    const where = [keys.records, keys.index, keys.newest];
    const args = [Number(onlyNew), JSON.stringify(puts), ...values];
    const answers = (await runScript(redis, PUT, where, args)) as string[];
    const superseded = entries.flatMap((entry, index) =>
      toSuperseded(entry, answers[index] ?? '', at[index] ?? entry.notBefore),
    );
    await note('superseded', superseded);
    return new Set(entries.filter((_, index) => answers[index] !== NOT_WRITTEN).map(({ id }) => id));
  }

  async function note(kind: NoteKind, notes: Parameters<InventoryWriter['note']>[1]): Promise<void> {
    if (notes.length === 0) return;
    const found = kind === 'revoked' ? await records.readFacts(notes.map(({ id }) => id)) : [];
    const lines = found.flatMap(one => (one ? revokedLinesOf(one) : []));
    const texts = notes.flatMap(({ id, note }) => [id, JSON.stringify(note)]);
    const where = [keys.records, keys.notes[kind], keys.index];
    // What superseded it first stays.
    const set = kind === 'superseded' ? 'HSETNX' : 'HSET';
    await runScript(redis, NOTE, where, [set, lines.length, ...lines, ...texts]);
  }

  async function drop(ids: readonly string[]): Promise<void> {
    const hashes = [keys.records, ...noteKinds.map(kind => keys.notes[kind])];
    for (const [at, one] of (await records.readFacts(ids)).entries()) {
      const lines = one ? [...linesOf(one), ...revokedLinesOf(one)] : [];
      const newest = one ? [holderOf(one), toNewest(one)] : ['', ''];
      const where = [keys.index, keys.newest, ...hashes];
      await runScript(redis, REMOVE, where, [ids[at] ?? '', ...newest, ...lines]);
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

const NOT_WRITTEN = '0';

const toPut = (entry: InventoryEntry, before: InventoryFacts | undefined): Put => ({
  id: entry.id,
  holder: holderOf(entry),
  own: toNewest(entry),
  going: before ? linesOf(before) : [],
  coming: linesOf(entry),
});

/** Whoever has certificates for the same names by the same auth block. */
const holderOf = ({ block, names }: InventoryFacts) =>
  shortHash(JSON.stringify([block ?? null, [...names].sort()]));

const TIME_DIGITS = 15;

/** Sorts by when a certificate begins, then by when it ends. */
function toNewest({ notBefore, notAfter, id, serial }: InventoryFacts): string {
  const times = [notBefore, notAfter].map(time => String(Math.max(0, time)).padStart(TIME_DIGITS, '0'));
  return [...times, id, serial].join(' ');
}

/**
 * What supersedes what.
 *
 * @param newest what there was for the same holder
 * @param at when this one was issued
 */
function toSuperseded(entry: InventoryEntry, newest: string, at: number): { id: string; note: Note }[] {
  const own = toNewest(entry);
  if (newest === NOT_WRITTEN || newest === '' || newest === own) return [];
  const [before, after] = own > newest ? [newest, own] : [own, newest];
  const [id = ''] = before.split(' ').slice(2);
  const [begin, , , by] = after.split(' ');
  return [{ id, note: { at: Math.max(at, Number(begin)), by } }];
}
