import { toName } from '../base/host-name.ts';

/** The TSIG record of a message (RFC 8945 section 4.2). */
export type TsigRecord = {
  keyName: string;
  algorithm: string;
  /** Seconds since the epoch. */
  time: number;
  /** Seconds. */
  fudge: number;
  mac: Buffer;
  originalId: number;
  error: number;
  other: Buffer;
};

const TYPE_TSIG = 250;
/** From here on a length is a pointer (RFC 1035 section 4.1.4). */
const POINTER = 0xc0;

/**
 * The TSIG record, which is the last of a signed message, and all that stands before it.
 *
 * @throws RangeError when the message is damaged
 */
export function findTsig(message: Buffer): { record: TsigRecord; before: Buffer } | undefined {
  const reader = new Reader(message, 12);
  const [questions = 0, ...sections] = [4, 6, 8, 10].map(offset => message.readUInt16BE(offset));
  for (let left = questions; left > 0; left--) {
    reader.skipName();
    reader.take(4);
  }
  const records = sections.reduce((sum, count) => sum + count, 0);
  for (let left = records; left > 0; left--) {
    const start = reader.offset;
    reader.skipName();
    const type = reader.uint16();
    reader.take(6);
    const data = reader.take(reader.uint16());
    if (type !== TYPE_TSIG) continue;
    if (left > 1 || reader.offset !== message.length) throw new RangeError('the signature is not at the end');
    return { record: parseTsig(new Reader(message, start).name(), data), before: message.subarray(0, start) };
  }
  return undefined;
}

function parseTsig(keyName: string, data: Buffer): TsigRecord {
  const reader = new Reader(data, 0);
  const algorithm = reader.name();
  const time = reader.take(6).readUIntBE(0, 6);
  const fudge = reader.uint16();
  const mac = reader.take(reader.uint16());
  const [originalId, error] = [reader.uint16(), reader.uint16()];
  return { keyName, algorithm, time, fudge, mac, originalId, error, other: reader.take(reader.uint16()) };
}

/** Reads on from an offset, and never beyond the end. */
class Reader {
  readonly #bytes: Buffer;
  offset: number;

  constructor(bytes: Buffer, offset: number) {
    this.#bytes = bytes;
    this.offset = offset;
  }

  take(count: number): Buffer {
    const end = this.offset + count;
    if (end > this.#bytes.length) throw new RangeError('the message is cut off');
    const taken = this.#bytes.subarray(this.offset, end);
    this.offset = end;
    return taken;
  }

  uint16(): number {
    return this.take(2).readUInt16BE(0);
  }

  /** A name. What a pointer leads to lies before all that was read of it, so that none leads in a circle. */
  name(): string {
    const start = this.offset;
    const labels: string[] = [];
    for (let length = this.take(1)[0]; length; length = this.take(1)[0]) {
      if (length >= POINTER) {
        const target = ((length - POINTER) << 8) | (this.take(1)[0] ?? 0);
        if (target >= start) throw new RangeError('a name leads in a circle');
        return toName([...labels, new Reader(this.#bytes, target).name()].join('.'));
      }
      if (length > 63) throw new RangeError('a name has a label of an unknown kind');
      labels.push(this.take(length).toString('latin1'));
    }
    return toName(labels.join('.'));
  }

  skipName(): void {
    for (let length = this.take(1)[0]; length; length = this.take(1)[0]) {
      // A pointer is the end; where it leads does not matter here.
      if (length >= POINTER) return void this.take(1);
      if (length > 63) throw new RangeError('a name has a label of an unknown kind');
      this.take(length);
    }
  }
}
