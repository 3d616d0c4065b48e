import { isIP, type Socket, connect as withoutTls } from 'node:net';
import { createSecureContext, connect as overTls, type SecureContext } from 'node:tls';
import { IssuanceError } from '../base/errors.ts';

// HTTP/1.1 with a CA, one request at a time on connections that are kept. It does less than Node's client,
// for half of the CPU time.

/** `headers` are names and values in turn, and tell of `body` too. */
export type Sent = { method: string; headers: readonly string[]; body?: string | undefined };

/** Header names in lower case. */
export type Answer = { status: number; headers: Record<string, string | undefined>; body: string };

/** `answer` rejects where none comes, with IssuanceError where it is too large; `cut` ends it at once. */
export type Exchange = { answer: Promise<Answer>; cut(): void };

const TCP_KEEP_ALIVE = 10_000;
const MARGIN = 1_000; // milliseconds, from our end of an idle connection to the server's

/** The connections of one process to one CA. */
export class Exchanges implements Disposable {
  readonly #ca: string[] | undefined;
  #context: SecureContext | undefined;
  readonly #connections = new Set<Connection>();
  /** The one that was used last at the end. */
  #idle: Connection[] = [];
  /** By which a server knows us again, for each origin (RFC 8446 section 2.2). */
  readonly #sessions = new Map<string, Buffer>();

  /** @param ca PEM certificates of the authorities to trust in place of the system's */
  constructor(ca?: string[]) {
    this.#ca = ca;
  }

  begin(target: URL, { method, headers, body = '' }: Sent): Exchange {
    let text = `${method} ${target.pathname}${target.search} HTTP/1.1\r\nHost: ${target.host}\r\n`;
    for (let at = 0; at < headers.length; at += 2) text += `${headers[at]}: ${headers[at + 1]}\r\n`;
    const at = this.#idle.findLastIndex(one => one.origin === target.origin && !one.socket.destroyed);
    const [connection = this.#open(target)] = at < 0 ? [] : this.#idle.splice(at, 1);
    return connection.exchange(`${text}Connection: keep-alive\r\n\r\n${body}`, method);
  }

  #open({ origin, protocol, hostname, port: named }: URL): Connection {
    const host = hostname.replace(/^\[|\]$/g, '');
    const port = Number(named) || (protocol === 'https:' ? 443 : 80);
    const socket = protocol === 'https:' ? this.#openTls(origin, host, port) : withoutTls({ host, port });
    const connection: Connection = new Connection(socket, origin, () => this.#idle.push(connection));
    this.#connections.add(connection);
    socket.once('close', () => {
      this.#connections.delete(connection);
      this.#idle = this.#idle.filter(one => one !== connection);
    });
    return connection;
  }

  #openTls(origin: string, host: string, port: number): Socket {
    this.#context ??= createSecureContext(this.#ca && { ca: this.#ca });
    const [session, secureContext] = [this.#sessions.get(origin), this.#context];
    const also = { ...(isIP(host) === 0 && { servername: host }), ...(session && { session }) };
    const socket = overTls({ host, port, secureContext, ALPNProtocols: ['http/1.1'], ...also });
    socket.on('session', given => this.#sessions.set(origin, given));
    return socket.on('error', () => this.#sessions.delete(origin));
  }

  [Symbol.dispose](): void {
    for (const { socket } of this.#connections) socket.destroy();
  }
}

type Asked = { reader: AnswerReader; resolve(answer: Answer): void; reject(error: unknown): void };

class Connection {
  readonly origin: string;
  readonly socket: Socket;
  readonly #free: () => void;
  #asked: Asked | undefined;

  /** @param free called when it can be used again */
  constructor(socket: Socket, origin: string, free: () => void) {
    this.origin = origin;
    this.socket = socket.setKeepAlive(true, TCP_KEEP_ALIVE).setNoDelay(true);
    this.#free = free;
    socket.on('data', bytes => this.#take(reader => reader.read(bytes)));
    socket.on('end', () => this.#take(reader => reader.end()));
    socket.on('timeout', () => socket.destroy());
    socket.on('error', error => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the connection was closed')));
  }

  exchange(text: string, method: string): Exchange {
    const { promise: answer, ...settle } = Promise.withResolvers<Answer>();
    const asked = { reader: new AnswerReader(method), ...settle };
    this.#asked = asked;
    if (this.socket.timeout) this.socket.setTimeout(0);
    this.socket.ref().write(text);
    return { answer, cut: () => void (this.#asked === asked && this.socket.destroy()) };
  }

  #take(read: (reader: AnswerReader) => Read | undefined): void {
    try {
      const answered = this.#asked && read(this.#asked.reader);
      if (answered) this.#finish(answered);
      else if (!this.#asked) this.socket.destroy(); // nobody has asked for it
    } catch (error) {
      this.#fail(error);
    }
  }

  #finish({ answer, keep }: Read): void {
    this.#asked?.resolve(answer);
    this.#asked = undefined;
    if (keep) this.socket.setTimeout(keep);
    this.socket.unref(); // an idle one keeps no process
    if (keep === 0) this.socket.destroy();
    else this.#free();
  }

  #fail(error: unknown): void {
    this.#asked?.reject(error);
    this.#asked = undefined;
    this.socket.destroy();
  }
}

/** `keep`: milliseconds that the connection may be used further; `undefined`: until the server closes it. */
type Read = { answer: Answer; keep: number | undefined };

const [LARGEST_HEAD, LONGEST_LINE] = [16 * 1024, 1024];
export const LARGEST_BODY = 1024 * 1024;
export const tooLarge = () => new IssuanceError('unexpected', "the CA's answer is too large");
const notHttp = (what: string) => new Error(`its answer is not HTTP/1.1: ${what}`);

/**
 * Reads the answer to one request from bytes as they come. What is not as RFC 9112 has it is an error: who
 * guesses may read another answer than was sent.
 */
class AnswerReader {
  readonly #method: string;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0; // up to where they are read
  #head: Head | undefined;
  readonly #chunks: Buffer[] = [];
  #size = 0;

  constructor(method: string) {
    this.#method = method;
  }

  /** @returns the answer, once it is whole */
  read(bytes: Buffer): Read | undefined {
    this.#bytes = this.#bytes.length === 0 ? bytes : Buffer.concat([this.#bytes, bytes]);
    this.#head ??= this.#readHead();
    if (!this.#head) return undefined;
    const { size } = this.#head;
    if (this.#bytes.length > 2 * LARGEST_BODY) throw tooLarge();
    if (size === 'chunks') return this.#readChunks();
    const came = this.#bytes.length - this.#at;
    if ((size ?? came) > LARGEST_BODY) throw tooLarge();
    return size === undefined || came < size ? undefined : this.#toRead(this.#at + size);
  }

  end(): Read {
    if (this.#head && this.#head.size === undefined) return this.#toRead(this.#bytes.length);
    throw new Error('the connection was closed before the end of the answer');
  }

  #toRead(end: number, body = this.#bytes.subarray(this.#at, end)): Read {
    const { status, headers, keep } = this.#head as Head;
    const isAll = end === this.#bytes.length; // what was not asked for could be taken for the next answer
    return { answer: { status, headers, body: body.toString() }, keep: isAll ? keep : 0 };
  }

  #readHead(): Head | undefined {
    for (;;) {
      const end = this.#bytes.indexOf('\r\n\r\n', this.#at);
      const length = (end < 0 ? this.#bytes.length : end) - this.#at;
      if (length > LARGEST_HEAD) throw notHttp('its head is too large');
      if (end < 0) return undefined;
      const head = parseHead(this.#bytes.toString('latin1', this.#at, end + 2), this.#method);
      this.#at = end + 4;
      if (head.status >= 200) return head; // else another one comes (RFC 9110 section 15.2)
    }
  }

  #readChunks(): Read | undefined {
    for (;;) {
      const end = this.#bytes.indexOf('\r\n', this.#at);
      const line = this.#bytes.toString('latin1', this.#at, end < 0 ? this.#at + LONGEST_LINE : end);
      if (end < 0 && line.length < LONGEST_LINE) return undefined;
      const [, digits] = CHUNK_LINE.exec(line) ?? [];
      if (digits === undefined) throw notHttp('a chunk does not say its size');
      const [size, from] = [Number.parseInt(digits, 16), end + 2];
      if (this.#size + size > LARGEST_BODY) throw tooLarge();
      // The last one has no bytes, and an empty line after the trailers.
      const to = size === 0 ? this.#bytes.indexOf('\r\n\r\n', end) + 2 : from + size;
      if (to < from || this.#bytes.length < to + 2) return undefined;
      if (size === 0 && !FIELD_LINES.test(this.#bytes.toString('latin1', from, to)))
        throw notHttp('a trailer is damaged');
      if (size === 0) return this.#toRead(to + 2, Buffer.concat(this.#chunks));
      if (this.#bytes.toString('latin1', to, to + 2) !== '\r\n') throw notHttp('a chunk has no end');
      this.#chunks.push(this.#bytes.subarray(from, to));
      this.#size += size;
      this.#at = to + 2;
    }
  }
}

const TOKEN = "[!#$%&'*+.^_`|~\\w-]+";
const CHUNK_LINE = new RegExp(`^([\\da-f]{1,8})(?:;${TOKEN}(?:=(?:${TOKEN}|"[^"\\\\]*"))?)*$`, 'i');
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [^\r\n]*)?\r\n/;
const FIELD_LINES = new RegExp(`^(?:${TOKEN}:[\\t\\x20-\\x7e\\x80-\\xff]*\\r\\n)*$`);
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
    const [name, value] = [line.slice(0, end).toLowerCase(), line.slice(end + 1).trim()];
    if (!(name in headers)) headers[name] = value;
    else if (!SINGLE.includes(name)) headers[name] += `, ${value}`;
  }
  const told = toSize(headers);
  const size = method === 'HEAD' || code === '204' || code === '304' ? 0 : told;
  const keep = minor === '0' || size === undefined ? 0 : toKeep(headers);
  return { status: Number(code), headers, size, keep };
}

function toSize(headers: Answer['headers']): Head['size'] {
  const { 'transfer-encoding': coding, 'content-length': length } = headers;
  if (coding !== undefined && (coding.toLowerCase() !== 'chunked' || length !== undefined))
    throw notHttp('nobody can tell where it ends');
  if (length !== undefined && !/^\d{1,15}$/.test(length)) throw notHttp('its length is damaged');
  if (coding !== undefined) return 'chunks';
  return length === undefined ? undefined : Number(length);
}

/** Many servers say for how long they keep what is idle. */
function toKeep({ connection = '', 'keep-alive': hint = '' }: Answer['headers']): Read['keep'] {
  if (/(?:^|[\s,])close(?:$|[\s,])/i.test(connection)) return 0;
  const [, seconds] = /(?:^|[\s,])timeout=(\d{1,6})/i.exec(hint) ?? [];
  return seconds === undefined ? undefined : Math.max(Number(seconds) * 1_000 - MARGIN, 0);
}
