import { Class, Rcode, Type } from './codes.ts';
import type { Query } from './query.ts';

/** A record whose owner is the question's name, or a name above it. */
export type ReplyRecord = {
  /** How many bytes of the question's name stand before the owner's. */
  skip: number;
  type: number;
  /** Seconds. */
  ttl: number;
  /** A text is one string of a TXT record, which stands behind its length. */
  data: Buffer | string;
};

/** What is to be answered, whatever the transport. */
export type Answer = {
  rcode: Rcode;
  authoritative?: boolean;
  records?: ReplyRecord[];
  /** Of the authority section. */
  authority?: ReplyRecord[];
};

/** What passes through most networks in one piece (DNS flag day 2020); also sent as our own limit. */
const UDP_PAYLOAD = 1_232;
const PLAIN_PAYLOAD = 512;

/** How long an answer over UDP may be: 512 bytes unless the question says more (RFC 6891 section 6.2.5). */
export function udpLimit({ edns }: Query): number {
  return Math.min(Math.max(edns?.payload ?? 0, PLAIN_PAYLOAD), UDP_PAYLOAD);
}

const HEAD_LENGTH = 12;
const OPT_LENGTH = 11;
const RECORD_LENGTH = 12;

/** @param limit bytes; a longer answer is not sent, and TC says that TCP has it (RFC 2181 section 9) */
export function encodeReply(query: Query, answer: Answer, limit: number): Buffer {
  const { records = [], authority = [] } = answer;
  const { message, end, edns } = query;
  const all = [...records, ...authority];
  const fixed = end + (edns ? OPT_LENGTH : 0);
  const length = all.reduce((sum, { data }) => sum + RECORD_LENGTH + dataLength(data), fixed);
  if (length > limit) return encodeTruncated(query);
  const reply = Buffer.allocUnsafe(length);
  message.copy(reply, 0, 0, end);
  writeFlags(reply, answer);
  writeCounts(reply, 1, records.length, authority.length, edns ? 1 : 0);
  let at = end;
  for (const record of all) at = writeRecord(reply, at, record);
  if (edns) writeOpt(reply, at, answer.rcode, edns.dnssecOk);
  return reply;
}

/** An answer without records that asks to come again over TCP, which is no longer than the question. */
export function encodeTruncated(query: Query): Buffer {
  const reply = encodeReply(query, { rcode: Rcode.noError, authoritative: true }, Number.POSITIVE_INFINITY);
  reply.writeUInt8(reply.readUInt8(2) | 0x02, 2);
  return reply;
}

/** For what cannot be read as a question: the head alone. */
export function encodeFault(message: Buffer, fault: Rcode): Buffer {
  const reply = Buffer.alloc(HEAD_LENGTH);
  message.copy(reply, 0, 0, 4);
  writeFlags(reply, { rcode: fault });
  return reply;
}

/** Of the question's flags, which stand there, the opcode, RD and CD stay. */
function writeFlags(reply: Buffer, { rcode, authoritative = false }: Answer): void {
  reply.writeUInt8(0x80 | (reply.readUInt8(2) & 0x79) | (authoritative ? 0x04 : 0), 2);
  reply.writeUInt8((reply.readUInt8(3) & 0x10) | (rcode & 0xf), 3);
}

function writeCounts(
  reply: Buffer,
  questions: number,
  answers: number,
  authorities: number,
  additional: number,
): void {
  reply.writeUInt16BE(questions, 4);
  reply.writeUInt16BE(answers, 6);
  reply.writeUInt16BE(authorities, 8);
  reply.writeUInt16BE(additional, 10);
}

/**
 * The owner is a pointer into the question (RFC 1035 section 4.1.4), which keeps its case and saves the most.
 */
function writeRecord(reply: Buffer, start: number, { skip, type, ttl, data }: ReplyRecord): number {
  reply.writeUInt16BE(0xc000 | (HEAD_LENGTH + skip), start);
  reply.writeUInt16BE(type, start + 2);
  reply.writeUInt16BE(Class.IN, start + 4);
  reply.writeUInt32BE(ttl, start + 6);
  const [length, at] = [dataLength(data), start + RECORD_LENGTH];
  reply.writeUInt16BE(length, start + 10);
  if (typeof data === 'string') reply.write(data, reply.writeUInt8(data.length, at), 'latin1');
  else data.copy(reply, at);
  return at + length;
}

const dataLength = (data: ReplyRecord['data']) => (typeof data === 'string' ? 1 : 0) + data.length;

/** Version 0, and of the flags only DO, which is repeated (RFC 3225 section 3). */
function writeOpt(reply: Buffer, start: number, rcode: Rcode, dnssecOk: boolean): void {
  reply.writeUInt8(0, start);
  reply.writeUInt16BE(Type.OPT, start + 1);
  reply.writeUInt16BE(UDP_PAYLOAD, start + 3);
  reply.writeUInt32BE(((rcode >> 4) << 24) | (dnssecOk ? 0x8000 : 0), start + 5);
  reply.writeUInt16BE(0, start + 9);
}
