import { isAscii, isUtf8 } from 'node:buffer';

// DER (X.690), as much of it as certificates and CSRs are made of: tags of one byte, and lengths that are
// definite and in their shortest form. BER, and whatever else two readers may read in two ways, is refused.

/** One element, at `start` to `end` of `bytes`; its content begins at `from`. */
export type Der = {
  tag: number;
  bytes: Buffer;
  start: number;
  from: number;
  end: number;
  /** What a constructed element is made of; empty for others. */
  parts: Der[];
};

export const Tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Of a tag: the bits for its class, for whether it is constructed, and for its number. */
export const CLASS = 0xc0;
export const CONSTRUCTED = 0x20;
export const NUMBER = 0x1f;
/** The class whose tags mean what the field they stand in says. */
export const CONTEXT_SPECIFIC = 0x80;

/** No certificate or CSR is nested as deeply. */
const DEEPEST = 20;
/** Nor has one as many elements; each costs time. */
const MOST_ELEMENTS = 1_000;

/**
 * Reads the element that `bytes` begin with, and all that is in it.
 *
 * @throws SyntaxError that says in one line why it is not DER, and where
 */
export function readDer(bytes: Buffer): Der {
  return readElement(bytes, 0, bytes.length, 0, { left: MOST_ELEMENTS });
}

/** Reads the one element that `bytes` are. @throws SyntaxError as `readDer` does, and where others follow */
export function readWholeDer(bytes: Buffer): Der {
  const element = readDer(bytes);
  if (element.end < bytes.length) throw damaged(element.end, 'other bytes follow');
  return element;
}

function readElement(
  bytes: Buffer,
  start: number,
  limit: number,
  depth: number,
  elements: { left: number },
): Der {
  if (start >= limit) throw damaged(start, 'an element is missing');
  const tag = bytes[start] as number;
  if ((tag & NUMBER) === NUMBER) throw damaged(start, 'a tag takes more than one byte');
  if (depth > DEEPEST) throw damaged(start, `elements are nested more than ${DEEPEST} deep`);
  elements.left--;
  if (elements.left < 0) throw damaged(start, `there are more than ${MOST_ELEMENTS} elements`);
  const { from, end } = readLength(bytes, start + 1, limit);
  const element: Der = { tag, bytes, start, from, end, parts: [] };
  const fault = (tag & CLASS) === 0 ? findFault(element) : undefined;
  if (fault) throw damaged(start, fault);
  if ((tag & CONSTRUCTED) === 0) return element;
  for (let at = from; at < end; ) {
    const part = readElement(bytes, at, end, depth + 1, elements);
    element.parts.push(part);
    at = part.end;
  }
  return element;
}

/** X.690 sections 8.1.3 and 10.1. */
function readLength(bytes: Buffer, at: number, limit: number): { from: number; end: number } {
  if (at >= limit) throw damaged(at, 'a length is missing');
  const first = bytes[at] as number;
  const size = first < 0x80 ? 0 : first & 0x7f;
  const from = at + 1 + size;
  if (first === 0x80) throw damaged(at, 'a length is indefinite, which is BER');
  if (size > 3 || from > limit) throw damaged(at, 'a length goes beyond the end');
  const length = size === 0 ? first : bytes.readUIntBE(at + 1, size);
  const shortest = length < 0x80 ? 0 : Math.ceil(Math.log2(length + 1) / 8);
  if (size !== shortest) throw damaged(at, 'a length takes more bytes than it needs, which is BER');
  if (from + length > limit) throw damaged(at, 'a length goes beyond the end');
  return { from, end: from + length };
}

/** Why DER does not allow an element of a universal type its form or its content. */
function findFault({ tag, bytes, from, end }: Der): string | undefined {
  const [first = 0, second = 0] = [bytes[from], bytes[from + 1]];
  const length = end - from;
  switch (tag) {
    case Tag.boolean: // 01 is true in BER
      return length === 1 && (first === 0 || first === 0xff) ? undefined : 'a BOOLEAN is neither 00 nor FF';
    case Tag.integer: {
      const isLong = length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80));
      return length === 0 || isLong ? 'an INTEGER is empty or has a byte too many' : undefined;
    }
    case Tag.bitString:
      return isBitString(bytes.subarray(from, end)) ? undefined : 'a BIT STRING has bits that do not count';
    case Tag.null:
      return length === 0 ? undefined : 'a NULL has content';
    case Tag.oid:
      return isOid(bytes.subarray(from, end)) ? undefined : 'an OBJECT IDENTIFIER is malformed';
    case Tag.bmpString:
    case Tag.universalString:
      return length % (tag === Tag.bmpString ? 2 : 4) === 0 ? undefined : 'a part of a character is missing';
    default: {
      if ((tag & NUMBER) === 0) return 'a tag is 0';
      const collection = (tag | CONSTRUCTED) === Tag.sequence || (tag | CONSTRUCTED) === Tag.set;
      if (collection === ((tag & CONSTRUCTED) !== 0)) return undefined;
      return collection ? 'a SEQUENCE or SET has no elements' : 'a string is in pieces, which is BER';
    }
  }
}

/** The first byte says how many bits of the last one do not count, and these are zero. */
function isBitString(content: Buffer): boolean {
  const [unused = 8] = content;
  if (unused > 7 || (unused > 0 && content.length === 1)) return false;
  return ((content.at(-1) as number) & (2 ** unused - 1)) === 0;
}

/** In bytes; a UUID takes 20. */
const LONGEST_OID = 64;

/** Numbers in base 128, each in its shortest form, the last of them whole. */
function isOid(content: Buffer): boolean {
  if (content.length === 0 || content.length > LONGEST_OID) return false;
  if ((content[content.length - 1] as number) >= 0x80) return false;
  return !content.some((byte, at) => byte === 0x80 && (at === 0 || (content[at - 1] as number) < 0x80));
}

const names: Record<number, string> = {
  [Tag.integer]: 'an INTEGER',
  [Tag.bitString]: 'a BIT STRING',
  [Tag.octetString]: 'an OCTET STRING',
  [Tag.oid]: 'an OBJECT IDENTIFIER',
  [Tag.sequence]: 'a SEQUENCE',
  [Tag.set]: 'a SET',
};

/** The element with this tag that is to stand here. */
export function expectTag(element: Der | undefined, tag: number): Der {
  if (element?.tag === tag) return element;
  const name = names[tag] ?? `an element with tag ${tag}`;
  throw element ? damaged(element.start, `${name} is expected`) : new SyntaxError(`${name} is missing`);
}

export const contentOf = ({ bytes, from, end }: Der) => bytes.subarray(from, end);
/** With its tag and its length. */
export const wholeOf = ({ bytes, start, end }: Der) => bytes.subarray(start, end);

/** Reads the OID that is to stand here, as `2.5.29.17`. */
export function readOid(element: Der | undefined): string {
  const numbers: number[] = [];
  let number = 0;
  for (const byte of contentOf(expectTag(element, Tag.oid))) {
    number = number * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    numbers.push(number);
    number = 0;
  }
  // The first two are one number (X.690 section 8.19.4).
  const [both = 0, ...rest] = numbers;
  const first = Math.min(Math.floor(both / 40), 2);
  return [first, both - 40 * first, ...rest].join('.');
}

/** As `readOid`, of a number for which not all readers have room only up to 28 bits. */
export function readShortOid(element: Der | undefined): string {
  const id = readOid(element);
  const content = element ? contentOf(element).toString('latin1') : '';
  if (!/[\x80-\xff]{4}/.test(content)) return id;
  throw damaged(element?.start ?? 0, 'an OBJECT IDENTIFIER has a number of more than 28 bits');
}

/** Reads the bytes of the BIT STRING that is to stand here. */
export function readBits(element: Der | undefined): Buffer {
  const { bytes, start, from, end } = expectTag(element, Tag.bitString);
  if (bytes[from] !== 0) throw damaged(start, 'a BIT STRING is not of whole bytes');
  return bytes.subarray(from + 1, end);
}

/** Reads the INTEGER that is to stand here; one below 0 is taken for 0. */
export function readNatural(element: Der | undefined): bigint {
  const content = contentOf(expectTag(element, Tag.integer));
  return (content[0] as number) < 0x80 ? BigInt(`0x${content.toString('hex')}`) : 0n;
}

/** @throws SyntaxError where more elements stand in one than its type has */
export function expectNoMore(more: Der[]): void {
  if (more[0]) throw damaged(more[0].start, 'there is an element too many');
}

/** Strings of X.509 (RFC 5280 section 4.1.2.4) by their tags, each as all readers take it or not at all. */
const strings: Record<number, (bytes: Buffer) => string | undefined> = {
  12: bytes => (isUtf8(bytes) ? bytes.toString() : undefined),
  18: bytes => matching(bytes, /^[0-9 ]*$/),
  // Readers let `*` and `&` pass.
  19: bytes => matching(bytes, /^[A-Za-z0-9 '()+,\-./:=?*&]*$/),
  20: bytes => bytes.toString('latin1'),
  22: bytes => (isAscii(bytes) ? bytes.toString('latin1') : undefined),
  [Tag.bmpString]: bytes => matching(utf16(bytes), /^[^\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]*$/),
};

function matching(text: Buffer | string, allowed: RegExp): string | undefined {
  const read = typeof text === 'string' ? text : text.toString('latin1');
  return allowed.test(read) ? read : undefined;
}

/** A BMPString is in the order that Node does not read. */
const utf16 = (bytes: Buffer) => Buffer.from(bytes).swap16().toString('utf16le');

/** Reads the string that is to stand here. */
function readText(element: Der | undefined): string {
  if (!element) throw new SyntaxError('a string is missing');
  const text = strings[element.tag]?.(contentOf(element));
  if (text === undefined) throw damaged(element.start, 'a value is no string, or a malformed one');
  return text;
}

/** Reads a Name (RFC 5280 section 4.1.2.4), whose values all have to be strings that readers can read. */
export const readName = (name: Der | undefined): { id: string; text: string }[][] =>
  expectTag(name, Tag.sequence).parts.map(set =>
    expectTag(set, Tag.set).parts.map(attribute => {
      const [type, value, ...more] = expectTag(attribute, Tag.sequence).parts;
      expectNoMore(more);
      return { text: readText(value), id: readShortOid(type) };
    }),
  );

const damaged = (at: number, fault: string) => new SyntaxError(`${fault} (at byte ${at})`);
