import { createReadStream } from 'node:fs';

const CHUNK = 1024 * 1024;
/** Bytes; a longer line is none of the trail's, and must not fill the memory. */
const LONGEST_LINE = 16 * 1024 * 1024;

export type RawLine = {
  /** Without the end of the line. */
  bytes: Buffer;
  /** Counted from 1. */
  number: number;
  /** `false` of a last line that has no end. */
  isWhole: boolean;
};

/**
 * The lines of a file, many at a time, in memory that does not grow with the file.
 *
 * @throws Error as the system says it, or where a line is longer than any of the trail's
 */
export async function* readLines(path: string): AsyncGenerator<RawLine[]> {
  let rest: Buffer = Buffer.alloc(0);
  let number = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK })) {
    const bytes: Buffer = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    const lines: RawLine[] = [];
    let from = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
      lines.push({ bytes: bytes.subarray(from, end), number: ++number, isWhole: true });
      from = end + 1;
    }
    rest = bytes.subarray(from);
    if (rest.length > LONGEST_LINE) throw new Error(`line ${number + 1} is longer than any of the trail's`);
    if (lines.length > 0) yield lines;
  }
  if (rest.length > 0) yield [{ bytes: rest, number: number + 1, isWhole: false }];
}
