import { Rcode, Type } from './codes.ts';

// Read byte by byte, with nothing thrown: most of what arrives here comes from strangers, and an answer has
// to repeat the question's very bytes (resolvers vary the case of letters and look for it,
// draft-vixie-dnsext-dns0x20). dns-packet does not tell where those are, and writes a name that it has read
// anew, where a dot in a label has become the end of one.

/** A question that can be answered, of one message (RFC 1035 section 4.1). */
export type Query = {
  message: Buffer;
  /** Where the question section ends, which begins behind the message's head. */
  end: number;
  /**
   * In lower case, without the dot at its end, '' for the root; bytes that no name of ours has are escaped as
   * `\ddd`.
   */
  name: string;
  /** How many bytes the name is long in the question. */
  nameLength: number;
  type: number;
  class: number;
  edns: Edns | undefined;
};

/** RFC 6891. */
type Edns = { payload: number; version: number; dnssecOk: boolean };

/**
 * What a message is: to be answered, to be answered with a response code alone, or (`undefined`) to be passed
 * over.
 */
export type ParsedQuery = { query: Query } | { fault: Rcode; message: Buffer } | undefined;

const HEAD_LENGTH = 12;
const OPCODE = 0x7800;
const LONGEST_NAME = 255;

/**
 * @returns `undefined` for what may not be answered: a fragment, or an answer, which two servers could toss
 *   back and forth
 */
export function parseQuery(message: Buffer): ParsedQuery {
  if (message.length < HEAD_LENGTH) return undefined;
  const flags = message.readUInt16BE(2);
  if (flags & 0x8000) return undefined;
  if (flags & OPCODE) return { fault: Rcode.notImplemented, message };
  const query = parseSections(message);
  return query ? { query } : { fault: Rcode.formatError, message };
}

/** One question and nothing else is asked (RFC 9619); what is in the other sections has to be well-formed. */
function parseSections(message: Buffer): Query | undefined {
  if (message.readUInt16BE(4) !== 1) return undefined;
  const name = parseName(message, HEAD_LENGTH);
  if (!name || name.end + 4 > message.length) return undefined;
  const before = message.readUInt16BE(6) + message.readUInt16BE(8);
  const edns = parseRecords(message, name.end + 4, before, before + message.readUInt16BE(10));
  return (
    edns && {
      message,
      end: name.end + 4,
      name: name.text,
      nameLength: name.end - HEAD_LENGTH,
      type: message.readUInt16BE(name.end),
      class: message.readUInt16BE(name.end + 2),
      edns: edns.found,
    }
  );
}

/** The one OPT that may be among the additional records, which are those from `additional` on. */
function parseRecords(
  message: Buffer,
  start: number,
  additional: number,
  count: number,
): { found?: Edns } | undefined {
  let at = start;
  let found: Edns | undefined;
  for (let index = 0; index < count; index++) {
    const fields = skipName(message, at);
    if (fields === undefined || fields + 10 > message.length) return undefined;
    if (message.readUInt16BE(fields) === Type.OPT) {
      if (found || index < additional || fields !== at + 1) return undefined;
      found = {
        payload: message.readUInt16BE(fields + 2),
        version: message.readUInt8(fields + 5),
        dnssecOk: (message.readUInt8(fields + 6) & 0x80) !== 0,
      };
    }
    at = fields + 10 + message.readUInt16BE(fields + 8);
    if (at > message.length) return undefined;
  }
  return at === message.length ? { ...(found && { found }) } : undefined;
}

/** There is nothing yet that the name in a question could point at. */
function parseName(message: Buffer, start: number): { text: string; end: number } | undefined {
  const limit = Math.min(message.length, start + LONGEST_NAME);
  let written = 0;
  for (let at = start; at < limit; ) {
    const length = message[at] as number;
    const next = at + 1 + length;
    if (length === 0) return { text: nameText.toString('latin1', 0, written), end: next };
    if (length > 63 || next > limit) return undefined;
    if (at > start) nameText[written++] = DOT;
    for (at++; at < next; at++) written += writeCharacter(message[at] as number, written);
  }
  return undefined;
}

/** The text of the name that is being read, in which each byte may take four characters. */
const nameText = Buffer.alloc(4 * LONGEST_NAME);
const DOT = 0x2e;

/** For each byte of a label the one of its text; 0 for what has to be escaped. */
const characters = Uint8Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte);
  return /[A-Za-z0-9_-]/.test(character) ? character.toLowerCase().charCodeAt(0) : 0;
});

/** @returns how many characters that takes */
function writeCharacter(byte: number, at: number): number {
  const character = characters[byte] as number;
  if (character === 0) return nameText.write(`\\${`${byte}`.padStart(3, '0')}`, at, 'latin1');
  nameText[at] = character;
  return 1;
}

/** Where the name ends that begins here. Where it points at is of no interest. */
function skipName(message: Buffer, start: number): number | undefined {
  for (let at = start; ; ) {
    const length = message[at];
    if (length === undefined) return undefined;
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2;
    if (length > 63) return undefined;
    at += 1 + length;
  }
}
