import { IssuanceError } from '../base/errors.ts';

/** What a CA answers; header names in lower case. */
export type Answer = { status: number; headers: Record<string, string | undefined>; body: string };

/** `keep`: milliseconds that the connection may be used further; `undefined`: until the server closes it. */
export type Read = { answer: Answer; keep: number | undefined };

/** Milliseconds that a CA has for one answer. */
export const REQUEST_TIMEOUT = 30_000;
const LARGEST_HEAD = 16 * 1024;
const LONGEST_LINE = 1024;
export const LARGEST_BODY = 1024 * 1024;
export const tooLarge = () => new IssuanceError('unexpected', "the CA's answer is too large");
const notHttp = (what: string) => new Error(`its answer is not HTTP/1.1: ${what}`);

/**
 * Reads the answer to one request from bytes as they come. What is not as RFC 9112 has it is an error, but
 * for faults of servers that can mean one thing alone: who guesses may read another answer than was sent.
 */
export class AnswerReader {
  readonly #method: string;
  /** What is not read yet, joined only when there is enough of it to go on. */
  #pieces: Buffer[] = [];
  #held = 0;
  #wanted = 0;
  #came = 0;
  #head: Head | undefined;
  readonly #chunks: Buffer[] = [];
  #size = 0; // of the chunks

  constructor(method: string) {
    this.#method = method;
  }

  /** @returns the answer, once it is whole */
  read(bytes: Buffer): Read | undefined {
    this.#pieces.push(bytes);
    this.#held += bytes.length;
    this.#came += bytes.length;
    if (this.#came > 2 * LARGEST_BODY) throw tooLarge();
    if (this.#held < this.#wanted) return undefined;
    this.#head ??= this.#readHead();
    if (!this.#head) return undefined;
    const { size } = this.#head;
    if (size === 'chunks') return this.#readChunks();
    if ((size ?? this.#held) > LARGEST_BODY) throw tooLarge();
    this.#wanted = size ?? LARGEST_BODY + 1;
    return size === undefined || this.#held < size ? undefined : this.#toRead(this.#join(), size);
  }

  /** The server has closed the connection. */
  end(): Read {
    if (this.#head && this.#head.size === undefined) return this.#toRead(this.#join(), this.#held);
    throw new Error('the connection was closed before the end of the answer');
  }

  #join(): Buffer {
    if (this.#pieces.length !== 1) this.#pieces = [Buffer.concat(this.#pieces)];
    return this.#pieces[0] as Buffer;
  }

  #drop(bytes: Buffer, size: number): void {
    this.#pieces = [bytes.subarray(size)];
    this.#held = bytes.length - size;
    this.#wanted = 0;
  }

  /** @param end of the answer in the bytes @param body where it is not all of them */
  #toRead(bytes: Buffer, end: number, body = bytes.subarray(0, end)): Read {
    const { status, headers, keep } = this.#head as Head;
    const isAll = end === bytes.length; // what was not asked for could be taken for the next answer
    return { answer: { status, headers, body: body.toString() }, keep: isAll ? keep : 0 };
  }

  #readHead(): Head | undefined {
    for (;;) {
      const bytes = this.#join();
      let start = 0;
      // Some servers end a body with an empty line too many.
      while (bytes[start] === 0x0d && bytes[start + 1] === 0x0a) start += 2;
      const end = bytes.indexOf('\r\n\r\n', start);
      if ((end < 0 ? bytes.length : end) - start > LARGEST_HEAD) throw notHttp('its head is too large');
      if (end < 0) return undefined;
      const head = parseHead(bytes.toString('latin1', start, end + 2), this.#method);
      this.#drop(bytes, end + 4);
      if (head.status >= 200) return head; // else another one comes (RFC 9110 section 15.2)
    }
  }

  #readChunks(): Read | undefined {
    for (;;) {
      const bytes = this.#join();
      const end = bytes.indexOf('\r\n');
      if ((end < 0 ? bytes.length : end) > LONGEST_LINE) throw notHttp('a line is too long');
      if (end < 0) return undefined;
      const [, digits] = CHUNK_LINE.exec(bytes.toString('latin1', 0, end)) ?? [];
      if (digits === undefined) throw notHttp('a chunk does not say its size');
      const [size, from] = [Number.parseInt(digits, 16), end + 2];
      if (size === 0) return this.#readTrailers(bytes, from);
      this.#wanted = from + size + 2;
      if (this.#size + size > LARGEST_BODY) throw tooLarge();
      if (bytes.length < this.#wanted) return undefined;
      if (bytes.toString('latin1', from + size, this.#wanted) !== '\r\n') throw notHttp('a chunk has no end');
      this.#chunks.push(bytes.subarray(from, from + size));
      this.#size += size;
      this.#drop(bytes, this.#wanted);
    }
  }

  /** They say nothing that is of use here, and end with an empty line. */
  #readTrailers(bytes: Buffer, from: number): Read | undefined {
    const end = bytes.indexOf('\r\n\r\n', from - 2) + 2;
    if ((end < from ? bytes.length : end) - from > LARGEST_HEAD) throw notHttp('its trailers are too large');
    if (end < from) return undefined;
    if (!FIELD_LINES.test(bytes.toString('latin1', from, end))) throw notHttp('a trailer is damaged');
    return this.#toRead(bytes, end + 2, Buffer.concat(this.#chunks));
  }
}

const TOKEN = "[!#$%&'*+.^_`|~\\w-]+";
const CHUNK_LINE = new RegExp(`^0*([\\da-f]{1,8})(?:;${TOKEN}(?:=(?:${TOKEN}|"[^"\\\\]*"))?)*$`, 'i');
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [^\r\n]*)?\r\n/;
const FIELD_LINES = new RegExp(`^(?:${TOKEN}:[\\t\\x20-\\x7e\\x80-\\xff]*\\r\\n)*$`);
/** Some gateways say it anew for what they pass on, and do it once. */
const CHUNKED = /^chunked(?:, chunked)*$/i;
/** Those that count once; others that come again are a list. */
const SINGLE = ['content-type', 'location', 'retry-after'];

/** `size` of the body; `undefined` where the end of the connection is its end (RFC 9112 section 6.3). */
type Head = Omit<Answer, 'body'> & { keep: Read['keep']; size: number | 'chunks' | undefined };

function parseHead(text: string, method: string): Head {
  const [first, minor, code] = STATUS_LINE.exec(text) ?? [];
  if (first === undefined || code === '101') throw notHttp('it has no status that was asked for');
  if (!FIELD_LINES.test(text.slice(first.length))) throw notHttp('a header is damaged');
  const headers: Answer['headers'] = Object.create(null);
  for (const line of text.slice(first.length).split('\r\n')) {
    const end = line.indexOf(':');
    if (end < 0) break; // after the last one
    const name = line.slice(0, end).toLowerCase();
    const value = trimBlanks(line, end + 1);
    if (!(name in headers)) headers[name] = value;
    else if (!SINGLE.includes(name)) headers[name] += `, ${value}`;
  }
  const told = toSize(headers);
  const size = method === 'HEAD' || code === '204' || code === '304' ? 0 : told;
  const keep = minor === '0' || size === undefined ? 0 : toKeep(headers);
  return { status: Number(code), headers, size, keep };
}

/** Of space and tab alone: `trim` takes a no-break space too, which is part of a value. */
function trimBlanks(text: string, from: number): string {
  let [start, end] = [from, text.length];
  while (start < end && isBlank(text, start)) start++;
  while (end > start && isBlank(text, end - 1)) end--;
  return text.slice(start, end);
}

const isBlank = (text: string, at: number) => text[at] === ' ' || text[at] === '\t';

function toSize(headers: Answer['headers']): Head['size'] {
  const { 'transfer-encoding': coding, 'content-length': length } = headers;
  if (coding !== undefined && (!CHUNKED.test(coding) || length !== undefined))
    throw notHttp('nobody can tell where it ends');
  if (length !== undefined && !/^\d{1,15}$/.test(length)) throw notHttp('its length is damaged');
  if (coding !== undefined) return 'chunks';
  return length === undefined ? undefined : Number(length);
}

/** Milliseconds, from our end of an idle connection to the server's. */
const MARGIN = 1_000;

/** Many servers say for how long they keep what is idle. */
function toKeep({ connection = '', 'keep-alive': hint = '' }: Answer['headers']): Read['keep'] {
  if (/(?:^|[\s,])close(?:$|[\s,])/i.test(connection)) return 0;
  const [, seconds] = /(?:^|[\s,])timeout=(\d{1,6})/i.exec(hint) ?? [];
  return seconds === undefined ? undefined : Math.max(Number(seconds) * 1_000 - MARGIN, 0);
}
