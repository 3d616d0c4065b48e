import { hash } from 'node:crypto';
import { join } from 'node:path';
import { describeFileError } from '../base/errors.ts';
import { listFiles, readHeadFile } from './file-acts.ts';
import {
  BEGINNING,
  type ChainEnd,
  type Head,
  isMark,
  isNote,
  linePrefix,
  type Note,
  readMark,
} from './line.ts';
import { type RawLine, readLines } from './read-lines.ts';
import type { PublicKey } from './signing-key.ts';

/** Something that should not be, or that the sealer itself has noted. `file` is '' for all of the trail. */
export type Finding = { file: string; line: number; what: string };

type Verified = {
  /** Each says that the trail is not what was sealed, or that events are missing. */
  faults: Finding[];
  /** What the sealer noted that is no fault. */
  notes: Finding[];
  lines: number;
  files: number;
  /** Until when all is proven by a signature, ISO 8601; `undefined` where nothing is. */
  proven: string | undefined;
};

const MOST_FINDINGS = 100;

/**
 * Verifies a trail: that each line is the one that was sealed after the line before it, that each signature
 * is of this key, and that the trail begins and ends where the signed heads say. Memory does not grow with
 * it.
 *
 * @param known what Redis knows of the end, read before the call; `undefined` where nobody asked it
 */
export async function verifyTrail(
  directory: string,
  key: PublicKey,
  known: Head | undefined,
  signal?: AbortSignal,
): Promise<Verified> {
  const own = await readHeadFile(directory, key); // before the files: they may grow meanwhile
  const files = await listFiles(directory);
  const verifying = new Verifying(key, own);
  for (const file of files) {
    signal?.throwIfAborted();
    await verifying.read(directory, file);
  }
  verifying.finish(known);
  return { ...verifying.result, files: files.length };
}

class Verifying {
  readonly result: Omit<Verified, 'files'> = { faults: [], notes: [], lines: 0, proven: undefined };
  readonly #key: PublicKey;
  readonly #head: Head | undefined;
  /** `undefined` before the first line. */
  #end: ChainEnd | undefined;
  #trail: string | undefined;
  #file = '';
  #line = 0;
  #endsMet = { own: false, beyond: 0 };
  /** The line before. */
  #last = { file: '', line: 0 };

  constructor(key: PublicKey, head: Head | undefined) {
    this.#key = key;
    this.#head = head;
  }

  async read(directory: string, file: string): Promise<void> {
    this.#file = file;
    this.#line = 0;
    try {
      for await (const lines of readLines(join(directory, file))) for (const line of lines) this.#take(line);
    } catch (error) {
      this.#fault(`cannot be read further: ${describeFileError(error)}`);
    }
    if (this.#line === 0) this.#fault('is empty');
  }

  #take({ bytes, number, isWhole }: RawLine): void {
    this.#line = number;
    if (isWhole) this.#takeWhole(bytes, number);
    else this.#takeTorn();
  }

  #takeWhole(bytes: Buffer, number: number): void {
    const before = this.#end ?? this.#begin(bytes);
    const prefix = linePrefix(before);
    const isNext = bytes.toString('latin1', 0, prefix.length) === prefix;
    const n = isNext ? before.n + 1 : this.#explain(bytes, before);
    this.#end = { n, hash: hash('sha256', bytes) };
    this.result.lines++;
    this.#readKind(bytes, isNext ? prefix.length : parseNumbers(bytes).length);
    this.#compareWithHead(this.#end);
    this.#last = { file: this.#file, line: number };
  }

  /** Where files were removed as they were old, the trail begins later; the head says where. */
  #begin(bytes: Buffer): ChainEnd {
    const { n = 1, prev = BEGINNING.hash } = parseNumbers(bytes);
    const from = this.#head?.from ?? n;
    if (n > from) this.#fault(`lines ${from} to ${n - 1} are missing before it`);
    if (n < from) this.#note(`files before line ${from} are still to be removed, as they are old`);
    return n > 1 ? { n: n - 1, hash: prev } : BEGINNING;
  }

  /** @returns the number to go on with */
  #explain(bytes: Buffer, before: ChainEnd): number {
    const { n } = parseNumbers(bytes);
    if (n === before.n + 1) this.#faultAt(this.#last, 'was changed, or the line after it was');
    else if (n === undefined) this.#fault('is no line of a trail');
    else if (n > before.n) this.#fault(`lines ${before.n + 1} to ${n - 1} are missing before it`);
    else this.#fault(`is line ${n}, where line ${before.n + 1} belongs`);
    return n ?? before.n + 1;
  }

  #takeTorn(): void {
    const beyond = this.#head && this.#end && this.#end.n >= this.#head.n;
    const what = 'ends within the line: a crash, or it is just being written';
    if (beyond) this.#note(what);
    else this.#fault('ends within the line');
  }

  /** @param from where the line says what it is */
  #readKind(bytes: Buffer, from: number): void {
    const isFirst = this.#line === 1;
    const kind = bytes.toString('latin1', from, from + 8);
    if (kind === ',"mark":') this.#readMark(parse(bytes), isFirst);
    else if (isFirst) this.#fault('does not begin with a signed line');
    if (kind === ',"note":') this.#readNote(parse(bytes));
  }

  #readMark(value: unknown, isFirst: boolean): void {
    const said = isMark(value) ? readMark(value) : undefined;
    const isSigned = isMark(value) && said && this.#key.isSignature(value.signed, value.signature);
    if (!isSigned) this.#fault('its signature is not of this key, or of another line');
    if (!isSigned) return;
    if (isFirst && value.mark !== 'start') this.#fault('does not begin with the start of a file');
    if (!isFirst && value.mark === 'start') this.#fault('the start of a file is in the middle of one');
    if (said.trail !== (this.#trail ?? said.trail)) this.#fault(`is of another trail, ${said.trail}`);
    this.#trail = said.trail;
    this.result.proven = said.time;
  }

  #readNote(value: unknown): void {
    if (!isNote(value)) this.#fault('is no line of a trail');
    else if (value.note === 'lost') this.#fault(describeNote(value));
    else this.#note(describeNote(value));
  }

  #compareWithHead({ n, hash }: ChainEnd): void {
    const head = this.#head;
    if (!head) return;
    if (n > head.n) this.#endsMet.beyond++;
    if (n !== head.n) return;
    this.#endsMet.own = true;
    if (hash !== head.hash) this.#fault('is not the line that the trail ends with by its head.json');
  }

  /** @param known what Redis says of the end */
  finish(known: Head | undefined): void {
    this.#file = '';
    this.#line = 0;
    const { n } = this.#end ?? BEGINNING;
    const head = this.#head;
    if (!head)
      this.#fault('head.json, which says where the trail ends, is missing or not signed by this key');
    else this.#finishAt(head, n);
    if (known) this.#compareWithRedis(known, head?.trail ?? this.#trail, Math.min(n, head?.n ?? n));
  }

  #compareWithRedis(known: Head, trail: string | undefined, n: number): void {
    if (known.trail !== trail) this.#fault(`Redis knows trail ${known.trail}, which is another one`);
    else if (known.n > n) this.#fault(`the end is cut: line ${known.n} was sealed, as Redis knows`);
  }

  #finishAt(head: Head, n: number): void {
    if (n < head.n) this.#fault(`the end is cut: line ${head.n} was sealed at ${head.time}`);
    else this.result.proven = head.time;
    const { beyond } = this.#endsMet;
    if (beyond > 0) this.#note(`${beyond} lines after line ${head.n} are not sealed yet`);
  }

  #fault(what: string): void {
    this.#faultAt({ file: this.#file, line: this.#line }, what);
  }

  #faultAt(place: { file: string; line: number }, what: string): void {
    if (this.result.faults.length < MOST_FINDINGS) this.result.faults.push({ ...place, what });
  }

  #note(what: string): void {
    if (this.result.notes.length < MOST_FINDINGS)
      this.result.notes.push({ file: this.#file, line: this.#line, what });
  }
}

const describeNote = ({ note, time, detail }: Note) => `${note} at ${time}: ${detail}`;

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}

/** What a line says of its place. */
function parseNumbers(bytes: Buffer): { n: number | undefined; prev: string | undefined; length: number } {
  const start = bytes.toString('latin1', 0, 200);
  const [prefix = '', n, prev] = /^\{"n":([1-9]\d{0,14}),"prev":"([0-9a-f]{64})"/.exec(start) ?? [];
  return { n: n === undefined ? undefined : Number(n), prev, length: prefix.length };
}
