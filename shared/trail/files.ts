import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import type { Clock, Log } from '../base/basics.ts';
import { lockDirectory } from '../base/directory-lock.ts';
import { runScript, type Store, toScript } from '../base/redis.ts';
import { type Begin, decideBegin } from './begin.ts';
import type { TrailConsumer } from './drain.ts';
import { isBefore, type TrailEntry } from './event.ts';
import {
  appendWithHead,
  cutAfter,
  listFiles,
  parseHead,
  readFirstNumber,
  readHeadFile,
  readLastLine,
  removeFile,
  sizeOf,
  writePublicKey,
} from './file-acts.ts';
import { fileOf, type Head, type NoteKind, toHead } from './line.ts';
import { type Plan, planHourMark, planLines, planNotes, type Write } from './plan-lines.ts';
import { findUnsealed } from './set-back.ts';
import type { PublicKey, SigningKey } from './signing-key.ts';

/** As which consumer the files take events. */
export const FILES = 'files';
const DAY = 24 * 3_600_000;

/** Where the trail ends, for all who seal or verify; it holds what `head.json` does. */
const headKey = (prefix: string) => `${prefix}:trail-head`;

/** Moves the end on, unless somebody else has. KEYS: the head. ARGV: what it was, '' for none; what it is. */
const MOVE_HEAD = toScript(`
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1`);

/** The end that Redis knows. @param key its signature has to be of this; `undefined` believes it as it is */
export async function readHead({ redis, prefix }: Store, key?: PublicKey): Promise<Head | undefined> {
  return parseHead(await redis.get(headKey(prefix)), key);
}

/** Has Redis forget which directory holds the trail: the next sealer goes on in its own. */
export async function restartTrail({ redis, prefix }: Store): Promise<void> {
  await redis.del(headKey(prefix));
}

/** The files of a trail, open for one sealer at a time. */
export type TrailFiles = AsyncDisposable &
  TrailConsumer & {
    /** Signs for the last hour once it is over, and removes the files that are too old. */
    upkeep(): Promise<void>;
  };

type Parts = { directory: string; key: SigningKey; keep: number; store: Store; clock: Clock; log: Log };

/**
 * Locks the directory, mends what a crash left, and seals what it is handed from there on. Lines are on the
 * disk before Redis forgets their events; what is handed over twice is sealed once.
 *
 * @throws Error in one line: another process seals, or the trail goes on in another directory
 */
export async function openTrailFiles(parts: Parts): Promise<TrailFiles> {
  const { directory, key } = parts;
  await mkdir(directory, { recursive: true, mode: 0o750 });
  await using stack = new AsyncDisposableStack();
  const lock = await lockDirectory(directory);
  if (!lock) throw new Error(`another process seals into ${directory}`);
  stack.use(lock);
  await writePublicKey(directory, key.publicKey);
  const files = await beginSealing(parts, lock.lost);
  const held = stack.move();
  return { ...files, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

async function beginSealing(parts: Parts, lost: AbortSignal): Promise<Omit<TrailFiles, symbol>> {
  const { directory, key, keep, clock } = parts;
  const found = await findBegin(parts);
  let { state, from } = found.begin;
  let headText = found.headText;
  let torn = '';

  async function commit({ writes, state: next }: Plan, isForced = false) {
    if (writes.length === 0 && !isForced) return;
    lost.throwIfAborted();
    const at = { ...next.at, size: next.at.size + torn.length };
    const head = toHead(next.end, { trail: next.trail, from, now: clock.now(), at }, key);
    await appendWithHead(directory, withTorn(torn, writes), state.at.size, head);
    headText = await moveHead(parts.store, headText, JSON.stringify(head));
    torn = '';
    state = { ...next, at };
  }
  const signing = () => ({ key, now: clock.now() });

  const mended = await mend(parts, found.begin);
  torn = mended.torn;
  state = { ...state, at: { ...state.at, size: mended.size } };
  const notes = [...found.begin.notes, ...mended.notes];
  if (notes.length > 0 || headText === '') await commit(planNotes(state, notes, signing()), true);

  return {
    name: FILES,
    async take(entries, oldest) {
      const gap = findGap(state.at.id, oldest);
      if (gap) await commit(planNotes(state, [gap], signing()));
      const unsealed = await findSetBack(parts, state.at.id, entries);
      if (!unsealed) return commit(planLines(state, entries.filter(isAfter(state.at.id)), signing()));
      const note = setBackFrom(state.at.id);
      await commit(planLines(state, unsealed, signing()));
      const id = entries.at(-1)?.id ?? state.at.id;
      await commit(planNotes({ ...state, at: { ...state.at, id } }, [note], signing()));
    },
    async upkeep() {
      await commit(planHourMark(state, signing()));
      const old = await findOld(directory, fileOf(clock.now() - keep * DAY), state.at.file);
      if (old.from === undefined) return;
      from = old.from;
      await commit({ writes: [], state }, true);
      for (const file of old.files) await removeFile(directory, file);
    },
  };
}

/** Where the stream has lost its end: what of it is not sealed. */
async function findSetBack(parts: Parts, sealed: string, entries: readonly TrailEntry[]) {
  const [first] = entries;
  const isHandedAgain = first !== undefined && !isBefore(sealed, first.id);
  return isHandedAgain ? findUnsealed(parts, sealed, entries) : undefined;
}

const setBackFrom = (last: string): { note: NoteKind; detail: string } => ({
  note: 'resumed',
  detail: `Redis had lost the end of the stream, from before ${last} on; events that were not sealed by then may be missing`,
});

const isAfter =
  (id: string) =>
  (entry: TrailEntry): boolean =>
    isBefore(id, entry.id);

/** What was not sealed, and is no longer there: the last entry that was sealed stays in the stream. */
function findGap(last: string, oldest: string): { note: NoteKind; detail: string } | undefined {
  if (last === '0-0' || !isBefore(last, oldest)) return undefined;
  const detail = `entries of the stream after ${last} and before ${oldest} may have left it unsealed`;
  return { note: 'lost', detail };
}

async function findBegin({ directory, key, store }: Parts): Promise<{ begin: Begin; headText: string }> {
  const text = await store.redis.get(headKey(store.prefix));
  const own = await readHeadFile(directory, key.publicKey);
  const known = parseHead(text, key.publicKey);
  const last = await readLastLine(directory);
  const fresh = randomBytes(8).toString('hex');
  return { begin: decideBegin({ own, known, last, fresh }), headText: text ?? '' };
}

/** @returns what there is to note, the file's size now, and what ends a line that was torn there */
async function mend({ directory, log }: Parts, { state }: Begin) {
  const { file, size } = state.at;
  const cut = await cutAfter(directory, file, size, state.end.n + 1);
  const notes: Begin['notes'] = [];
  if (cut.bytes > 0) {
    const detail = `${cut.bytes} bytes after line ${state.end.n} were not sealed: cut off into ${cut.kept.join(', ')}`;
    log.warn({ directory, reason: detail }, 'the trail was mended');
    notes.push({ note: 'mended', detail });
  }
  if (!cut.missing) return { notes, size, torn: '' };
  const left = await sizeOf(directory, file);
  const detail = `${file} had ${left} bytes where ${size} were sealed`;
  log.error({ directory, reason: detail }, 'sealed lines of the trail are missing');
  notes.push({ note: 'lost', detail });
  return { notes, size: left, torn: left > 0 ? '\n' : '' };
}

function withTorn(torn: string, writes: readonly Write[]): Write[] {
  const [first, ...more] = writes;
  return first ? [{ ...first, text: torn + first.text }, ...more] : [];
}

/** @throws Error where another sealer has moved it */
async function moveHead({ redis, prefix }: Store, from: string, to: string): Promise<string> {
  if ((await runScript(redis, MOVE_HEAD, [headKey(prefix)], [from, to])) === 1) return to;
  throw new Error('the trail of this Redis is sealed by another process at the same time');
}

/** Files before `limit`, and the number of the first line that stays; `from` is absent where none is old. */
async function findOld(directory: string, limit: string, current: string) {
  const all = await listFiles(directory);
  const files = all.filter(file => file < limit && file < current);
  const kept = all.find(file => !files.includes(file));
  const from = files.length > 0 && kept ? await readFirstNumber(directory, kept) : undefined;
  return { files, from };
}
