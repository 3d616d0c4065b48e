import { isIP, type Socket, connect as withoutTls } from 'node:net';
import { createSecureContext, connect as overTls, type SecureContext } from 'node:tls';
import { LRUCache } from 'lru-cache';
import { type Answer, AnswerReader, type Read } from './read-answer.ts';

// HTTP/1.1 with a CA, one request at a time on connections that are kept. It does less than Node's client,
// for half of the CPU time.

/** `headers` are names and values in turn, and tell of `body` too. */
export type Sent = { method: string; headers: readonly string[]; body?: string | undefined };

/** `answer` rejects where none comes, with IssuanceError where it is too large; `cut` ends it at once. */
export type Exchange = { answer: Promise<Answer>; cut(): void };

const TCP_KEEP_ALIVE = 10_000;
/** Idle ones of a process, as Node's client keeps them. */
const MOST_IDLE = 256;
/** Of servers that a CA has named, and that it could name without end. */
const MOST_SESSIONS = 100;

/** The connections of one process to one CA. */
export class Exchanges implements Disposable {
  readonly #ca: string[] | undefined;
  #context: SecureContext | undefined;
  readonly #connections = new Set<KeptConnection>();
  /** The one that was used last at the end. */
  #idle: KeptConnection[] = [];
  /** By which a server knows us again, for each origin (RFC 8446 section 2.2). */
  readonly #sessions = new LRUCache<string, Buffer>({ max: MOST_SESSIONS });

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

  #open({ origin, protocol, hostname, port: named }: URL): KeptConnection {
    const host = hostname.replace(/^\[|\]$/g, '');
    const port = Number(named) || (protocol === 'https:' ? 443 : 80);
    const socket = protocol === 'https:' ? this.#openTls(origin, host, port) : withoutTls({ host, port });
    const connection: KeptConnection = new KeptConnection(socket, origin, () => this.#keep(connection));
    this.#connections.add(connection);
    socket.once('close', () => {
      this.#connections.delete(connection);
      this.#idle = this.#idle.filter(one => one !== connection);
    });
    return connection;
  }

  #keep(connection: KeptConnection): void {
    this.#idle.push(connection);
    if (this.#idle.length > MOST_IDLE) this.#idle.shift()?.socket.destroy();
  }

  #openTls(origin: string, host: string, port: number): Socket {
    this.#context ??= createSecureContext(this.#ca && { ca: this.#ca });
    const [session, secureContext] = [this.#sessions.get(origin), this.#context];
    const also = { ...(isIP(host) === 0 && { servername: host }), ...(session && { session }) };
    const socket = overTls({ host, port, secureContext, ALPNProtocols: ['http/1.1'], ...also });
    socket.on('session', given => this.#sessions.set(origin, given));
    // A handshake may fail for its session; an error that comes later says nothing of it.
    return socket.on('error', () => socket.authorized || this.#sessions.delete(origin));
  }

  [Symbol.dispose](): void {
    for (const { socket } of this.#connections) socket.destroy();
  }
}

type Asked = { reader: AnswerReader; resolve(answer: Answer): void; reject(error: unknown): void };

class KeptConnection {
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
    // What is left of a large request that was answered early would stand before the next one. A short one
    // has left; over TLS it may be told later than its answer.
    if (keep === 0 || this.socket.writableNeedDrain) this.socket.destroy();
    else this.#free();
  }

  #fail(error: unknown): void {
    this.#asked?.reject(error);
    this.#asked = undefined;
    this.socket.destroy();
  }
}
