import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import { encodeName } from './name.ts';
import { findTsig, type TsigRecord } from './tsig-record.ts';
import { uint16, uint48 } from './wire.ts';

/** A key that this side and a server share (RFC 8945). */
export type TsigKey = {
  /** As `toName` writes it; both sides call it so. */
  name: string;
  algorithm: TsigAlgorithm;
  secret: KeyObject;
};

export type TsigAlgorithm = 'hmac-sha256' | 'hmac-sha384' | 'hmac-sha512';

/** Seconds that both clocks may differ (RFC 8945 section 10). */
const FUDGE = 300;

const CLASS_ANY = 255;
const TYPE_TSIG = 250;

/** What a signed answer is checked against: the key, and the MAC of the message that it answers. */
export type Signature = { key: TsigKey; mac: Buffer };

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

/** What an answer's signature tells. `refused`: the server does not take ours; that itself need not be signed. */
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
  // A truncated MAC is allowed, but nobody truncates these.
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

/** Section 4.3.3. */
function variables(key: TsigKey, { time, fudge, error, other }: Variables): Buffer {
  const [name, algorithm] = [encodeName(key.name), encodeName(key.algorithm)];
  const timers = [uint48(time), uint16(fudge)];
  return Buffer.concat([
    ...[name, uint16(CLASS_ANY), Buffer.alloc(4), algorithm, ...timers],
    ...[uint16(error), uint16(other.length), other],
  ]);
}

/** Section 4.2. */
function encodeTsig(
  key: TsigKey,
  { time, fudge, error, other, mac, originalId }: Omit<TsigRecord, 'keyName' | 'algorithm'>,
) {
  const data = Buffer.concat([
    ...[encodeName(key.algorithm), uint48(time), uint16(fudge), uint16(mac.length), mac],
    ...[uint16(originalId), uint16(error), uint16(other.length), other],
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
