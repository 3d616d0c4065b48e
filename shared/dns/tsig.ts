import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import { toName } from '../base/identifier.ts';
import { encodeName, uint16, uint48 } from './wire.ts';

/** A key that Quarry shares with a server (RFC 8945). */
export type TsigKey = {
  /** Both sides use this name, as `toName` writes it. */
  name: string;
  algorithm: TsigAlgorithm;
  secret: KeyObject;
};

export type TsigAlgorithm = 'hmac-sha256' | 'hmac-sha384' | 'hmac-sha512';

/** Seconds by which the clocks may differ (RFC 8945 section 10). */
const FUDGE = 300;

const CLASS_ANY = 255;
const TYPE_TSIG = 250;

/** The key and the MAC of a signed message, which its answer is checked against. */
type Signature = { key: TsigKey; mac: Buffer };

/**
 * Signs a whole message, which may not have a signature yet.
 *
 * @param now milliseconds since the epoch
 */
export function signMessage(
  message: Buffer,
  key: TsigKey,
  now: number,
): { signed: Buffer; signature: Signature } {
  const unsigned = { time: Math.floor(now / 1000), fudge: FUDGE, error: 0, other: Buffer.alloc(0) };
  const mac = hmac(key, [message, variables(key, unsigned)]);
  const signed = Buffer.concat([
    message,
    encodeTsig(key, { ...unsigned, mac, originalId: message.readUInt16BE(0) }),
  ]);
  signed.writeUInt16BE(message.readUInt16BE(10) + 1, 10);
  return { signed, signature: { key, mac } };
}

/**
 * The result of checking an answer's signature. `refused`, which may be unsigned: the server rejects ours.
 */
export type Verdict =
  | { is: 'good' }
  | { is: 'unsigned' }
  | { is: 'wrong'; why: string }
  /** `serverTime` with BADTIME alone; milliseconds since the epoch. */
  | {
      is: 'refused';
      error: 'BADSIG' | 'BADKEY' | 'BADTRUNC' | 'BADTIME' | 'another error';
      serverTime?: number;
    };

/** RFC 8945 sections 5.3 and 5.4. */
export function verifyReply(reply: Buffer, { key, mac }: Signature, now: number): Verdict {
  const found = findTsig(reply);
  if (!found) return { is: 'unsigned' };
  const { record, before } = found;
  if (record.error !== 0 && record.error !== BADTIME)
    return { is: 'refused', error: errorName(record.error) };
  if (record.keyName !== key.name || record.algorithm !== key.algorithm) {
    return { is: 'wrong', why: 'is signed with another key' };
  }
  const stripped = Buffer.from(before);
  stripped.writeUInt16BE(record.originalId, 0);
  stripped.writeUInt16BE(stripped.readUInt16BE(10) - 1, 10);
  const expected = hmac(key, [uint16(mac.length), mac, stripped, variables(key, record)]);
  // The RFC allows a truncated MAC, but servers do not truncate these.
  if (record.mac.length !== expected.length || !timingSafeEqual(record.mac, expected)) {
    return { is: 'wrong', why: 'is signed wrongly' };
  }
  if (record.error === BADTIME) return { is: 'refused', error: 'BADTIME', ...serverTime(record.other) };
  const apart = Math.abs(record.time - now / 1000);
  return apart > Math.min(record.fudge, FUDGE)
    ? { is: 'wrong', why: `was signed ${Math.round(apart)} seconds from now` }
    : { is: 'good' };
}

const BADTIME = 18;

function errorName(error: number) {
  return ({ 16: 'BADSIG', 17: 'BADKEY', 22: 'BADTRUNC' } as const)[error] ?? 'another error';
}

function serverTime(other: Buffer): { serverTime?: number } {
  return other.length === 6 ? { serverTime: other.readUIntBE(0, 6) * 1000 } : {};
}

function hmac({ algorithm, secret }: TsigKey, parts: Buffer[]): Buffer {
  return createHmac(algorithm.replace('hmac-', ''), secret).update(Buffer.concat(parts)).digest();
}

type Variables = Pick<TsigRecord, 'time' | 'fudge' | 'error' | 'other'>;

/** RFC 8945 section 4.3.3. */
function variables(key: TsigKey, { time, fudge, error, other }: Variables): Buffer {
  return Buffer.concat([
    encodeName(key.name),
    uint16(CLASS_ANY),
    Buffer.alloc(4),
    encodeName(key.algorithm),
    uint48(time),
    uint16(fudge, error, other.length),
    other,
  ]);
}

/** RFC 8945 section 4.2. */
function encodeTsig(
  key: TsigKey,
  { time, fudge, error, other, mac, originalId }: Omit<TsigRecord, 'keyName' | 'algorithm'>,
) {
  const data = Buffer.concat([
    encodeName(key.algorithm),
    uint48(time),
    uint16(fudge, mac.length),
    mac,
    uint16(originalId, error, other.length),
    other,
  ]);
  const head = [
    encodeName(key.name),
    uint16(TYPE_TSIG),
    uint16(CLASS_ANY),
    Buffer.alloc(4),
    uint16(data.length),
  ];
  return Buffer.concat([...head, data]);
}

/** The TSIG record of a message (RFC 8945 section 4.2). */
type TsigRecord = {
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

/** A length byte of this value or more begins a pointer (RFC 1035 section 4.1.4). */
const POINTER = 0xc0;

/**
 * Finds the TSIG record, which is the last of a signed message, and the bytes before it.
 *
 * @throws RangeError when the message is damaged
 */
function findTsig(message: Buffer): { record: TsigRecord; before: Buffer } | undefined {
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

/** Reads on from an offset, never beyond the end. */
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

  /** Reads a name. A pointer must lead to before the name's start, so that pointers cannot form a circle. */
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
      // A pointer ends the name; its target does not matter here.
      if (length >= POINTER) return void this.take(1);
      if (length > 63) throw new RangeError('a name has a label of an unknown kind');
      this.take(length);
    }
  }
}
