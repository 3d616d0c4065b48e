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

/**
 * Reads the element that `bytes` begin with, and all that is in it.
 *
 * @throws Error when it is not whole, or not DER
 */
export function readDer(bytes: Buffer): Der {
  return readElement(bytes, 0, bytes.length, 0);
}

function readElement(bytes: Buffer, start: number, limit: number, depth: number): Der {
  const tag = start < limit ? (bytes[start] as number) : NUMBER;
  if ((tag & NUMBER) === NUMBER || depth > DEEPEST) throw damaged();
  const { from, end } = readLength(bytes, start + 1, limit);
  const element: Der = { tag, bytes, start, from, end, parts: [] };
  if ((tag & CLASS) === 0 && !isSound(element)) throw damaged();
  if ((tag & CONSTRUCTED) === 0) return element;
  for (let at = from; at < end; ) {
    const part = readElement(bytes, at, end, depth + 1);
    element.parts.push(part);
    at = part.end;
  }
  return element;
}

/** X.690 sections 8.1.3 and 10.1. */
function readLength(bytes: Buffer, at: number, limit: number): { from: number; end: number } {
  const first = at < limit ? (bytes[at] as number) : 0x80;
  const size = first < 0x80 ? 0 : first & 0x7f;
  const from = at + 1 + size;
  if (first === 0x80 || size > 3 || from > limit) throw damaged();
  const length = size === 0 ? first : bytes.readUIntBE(at + 1, size);
  const shortest = length < 0x80 ? 0 : Math.ceil(Math.log2(length + 1) / 8);
  if (size !== shortest || from + length > limit) throw damaged();
  return { from, end: from + length };
}

/** Whether an element of a universal type has the form and the content that DER allows it. */
function isSound(element: Der): boolean {
  const { tag, bytes, from, end } = element;
  const [first = 0, second = 0] = [bytes[from], bytes[from + 1]];
  switch (tag) {
    case Tag.boolean:
      return end - from === 1 && (first === 0 || first === 0xff);
    case Tag.integer: // no byte more than the sign needs
      return (
        end > from &&
        (end - from === 1 || !((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80)))
      );
    case Tag.bitString: // begins with how many bits of the last byte do not count
      return end > from && first < 8 && (first === 0 || end - from > 1);
    case Tag.null:
      return end === from;
    case Tag.oid:
      return isOid(bytes.subarray(from, end));
    default: {
      const collection = (tag | CONSTRUCTED) === Tag.sequence || (tag | CONSTRUCTED) === Tag.set;
      return collection === ((tag & CONSTRUCTED) !== 0);
    }
  }
}

/** Numbers in base 128, each in its shortest form, the last of them whole. */
function isOid(content: Buffer): boolean {
  if (content.length === 0 || (content[content.length - 1] as number) >= 0x80) return false;
  return !content.some((byte, at) => byte === 0x80 && (at === 0 || (content[at - 1] as number) < 0x80));
}

/** The element with this tag that is to stand here. */
export function expectTag(element: Der | undefined, tag: number): Der {
  if (element?.tag !== tag) throw damaged();
  return element;
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

const damaged = () => new Error('the DER is damaged');
