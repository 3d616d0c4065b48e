import { createServer, type Server, type Socket } from 'node:net';
import { tokenPattern } from '../../shared/acme/objects.ts';
import type { Clock, Log } from '../../shared/base/basics.ts';
import { describeError } from '../../shared/base/errors.ts';
import { http } from '../../shared/base/http.ts';
import { Counter, type Registry } from '../../shared/base/metrics.ts';
import type { OutlastRestarts } from '../../shared/base/redis.ts';
import { type ChallengeResponses, rememberingFound } from '../../shared/solver/http01.ts';

// HTTP/1.1 as far as a CA, or a web server before us, asks for challenges: requests without a body, most of
// them alone on their connection. It does less than Node's server, for three quarters of its CPU time.

type Http01Parts = {
  responses: Pick<ChallengeResponses, 'get'>;
  outlast: OutlastRestarts;
  /** Where there are more, the oldest gives way: a CA asks once, and stays no longer. */
  connections: number;
  /** Milliseconds in which a client has to bring a request, and to take its answer. */
  receive: number;
  clock: Clock;
  log: Log;
  metrics: Registry;
};

/** How often connections are looked at in the time that they have. */
const LOOKS = 10;

/** Makes servers that answer http-01 challenges (RFC 8555 section 8.3), and know their connections. */
export function http01Servers(
  parts: Http01Parts,
): () => Server & { closeIdleConnections(): void; destroyConnections(): void } {
  const { connections, receive, clock } = parts;
  const talk = { respond: responding(parts), clock, keep: Math.floor(receive / 1_000) };

  return () => {
    const open = new Set<Conversation>();
    const server = createServer({ allowHalfOpen: true }, socket => {
      const conversation = new Conversation(socket, talk);
      open.add(conversation);
      socket.on('close', () => open.delete(conversation));
      const [oldest] = open.size > connections ? open : [];
      if (oldest) {
        open.delete(oldest); // as it closes later
        oldest.socket.destroy();
      }
    });
    const lookAtAll = () => {
      for (const conversation of open) conversation.look();
    };
    server.once('listening', () => {
      const looking = setInterval(lookAtAll, receive / LOOKS).unref();
      server.once('close', () => clearInterval(looking));
    });
    return Object.assign(server, {
      closeIdleConnections() {
        for (const conversation of open) conversation.stop();
      },
      destroyConnections() {
        for (const { socket } of open) socket.destroy();
      },
    });
  };
}

/** `keep`: the seconds that a client is told. */
type Talk = { respond: Respond; clock: Clock; keep: number };

/** One connection, and one request at a time. */
class Conversation {
  readonly socket: Socket;
  readonly #talk: Talk;
  /** `over`: all is said, and what comes is passed over. */
  #state: 'new' | 'answering' | 'idle' | 'over' = 'new';
  /** What has come and is not read yet, in Latin-1. */
  #held = '';
  #isLast = false;
  #looks = 0;

  constructor(socket: Socket, talk: Talk) {
    this.socket = socket;
    this.#talk = talk;
    socket.on('error', () => {}); // 'close' follows
    socket.on('data', bytes => this.#take(bytes));
    socket.on('end', () => this.#end());
  }

  /** Ends it where the client is too slow. */
  look(): void {
    if (this.#state === 'answering' && this.socket.writableLength === 0) return; // it waits for us
    if (++this.#looks <= LOOKS) return;
    const isAsking = this.#held !== '' && (this.#state === 'new' || this.#state === 'idle');
    if (isAsking) this.#refuse(408);
    else this.socket.destroy();
  }

  /** The answer that it waits for, or will ask for at once, is its last. */
  stop(): void {
    this.#isLast = true;
    if (this.#state === 'idle' && this.#held === '') this.socket.destroy();
  }

  #take(bytes: Buffer): void {
    if (this.#state === 'over') return;
    this.#held += bytes.toString('latin1');
    if (this.#state !== 'answering') this.#read();
    else if (this.#held.length > LARGEST_HEAD) this.socket.pause();
  }

  #end(): void {
    this.#isLast = true;
    if (this.#state === 'answering' || this.#state === 'over') return;
    if (this.#held === '') this.socket.destroy();
    else this.#refuse(400);
  }

  #read(): void {
    const read = readRequest(this.#held);
    if (typeof read === 'number') this.#refuse(read);
    if (typeof read !== 'object') return;
    this.#held = this.#held.slice(read.size);
    this.#state = 'answering';
    this.#talk.respond(read, answer => this.#answer(read, answer));
  }

  #answer({ method, isLast, hasBody }: Request, { status, type, body }: Answer): void {
    const { clock, keep } = this.#talk;
    this.#isLast ||= isLast;
    const head = [
      `HTTP/1.1 ${toStatus(status)}`,
      `Content-Type: ${type}`,
      `Content-Length: ${Buffer.byteLength(body)}`,
      `Date: ${new Date(clock.now()).toUTCString()}`,
      `Connection: ${this.#isLast ? 'close' : `keep-alive\r\nKeep-Alive: timeout=${keep}`}`,
      '\r\n',
    ].join('\r\n');
    this.#say(method === 'HEAD' ? head : head + body, hasBody);
  }

  #say(text: string, hasMore: boolean): void {
    this.#looks = 0;
    if (!this.#isLast) {
      this.socket.write(text, error => {
        if (!error) this.#next();
      });
      return;
    }
    this.#state = 'over';
    this.socket.write(text);
    // Where more may come, the kernel would take the answer back from a client that still sends (RFC 9112
    // section 9.6).
    if (hasMore || this.socket.writableLength > 0) this.socket.end().resume();
    else this.socket.destroy();
  }

  #next(): void {
    this.#state = 'idle';
    if (this.#isLast) this.socket.destroy();
    else if (this.#held !== '') this.#read();
    if (this.socket.isPaused() && this.#held.length <= LARGEST_HEAD) this.socket.resume();
  }

  #refuse(status: number): void {
    this.#isLast = true;
    this.#say(`HTTP/1.1 ${toStatus(status)}\r\nConnection: close\r\n\r\n`, true);
  }
}

const toStatus = (status: number) => `${status} ${http.STATUS_CODES[status]}`;

const LARGEST_HEAD = 16 * 1024;
const NEVER_HTTP = /[^\t\r\n -~\x80-\xff]|(?:^|[^\r])\n/;
const METHOD = '(GET|HEAD|OPTIONS|POST|PUT|PATCH|DELETE)';
const TARGET = '(\\*|/[!-~]*|http://[\\w.:[\\]-]+/[!-~]*)';
const FIELD = "[!#$%&'*+.^_`|~\\w-]+:[\\t -~\\x80-\\xff]*\\r\\n";
const HEAD = new RegExp(`^(?:\\r\\n)?${METHOD} ${TARGET} HTTP/1\\.([01])\\r\\n((?:${FIELD})*)$`);
const HOST = /^host:/im;
/** What follows the offer of another protocol may be taken for anything. */
const LAST = /^(?:upgrade:|connection:(?:.*[\t ,])?close[\t ]*(?:,|$))/im;
const FRAMING = /^(?:content-length|transfer-encoding):.*$/gim;
const ONE_BODY = /^(?:content-length:[\t ]*\d{1,15}|transfer-encoding:[\t ]*chunked)[\t ]*$/i;

/** `target` as it was sent (RFC 9112 section 3.2), `size` without the body. */
type Request = { method: string; target: string; hasBody: boolean; isLast: boolean; size: number };

/**
 * Reads the head of a request, strictly: what it accepts, Node's server reads alike. No connection goes on
 * after a body, so none can be taken for a request.
 *
 * @param text in Latin-1
 * @returns a status where it is refused, undefined where more has to come
 */
function readRequest(text: string): Request | number | undefined {
  const end = text.indexOf('\r\n\r\n');
  if ((end < 0 ? text.length : end) > LARGEST_HEAD) return 431;
  if (end < 0) return NEVER_HTTP.test(text) ? 400 : undefined;
  const [, method = '', target = '', minor, fields] = HEAD.exec(text.slice(0, end + 2)) ?? [];
  if (fields === undefined || (minor === '1' && !HOST.test(fields))) return 400;
  const [framing, another] = fields.match(FRAMING) ?? [];
  if (another !== undefined || (framing !== undefined && !ONE_BODY.test(framing))) return 400;
  const hasBody = framing !== undefined;
  return { method, target, hasBody, isLast: hasBody || minor === '0' || LAST.test(fields), size: end + 4 };
}

type Answer = { status: number; type: string; body: string };

/** Answers once, at once or later; never throws. */
type Respond = (request: Request, answer: (answer: Answer) => void) => void;

const notFound: Answer = { status: 404, type: 'text/plain', body: 'not found\n' };

/**
 * A token that is not known is a 404, and a Redis that is away a 503, so that nginx can ask the next
 * responder.
 */
function responding({ responses, outlast, clock, log, metrics }: Http01Parts): Respond {
  const get = rememberingFound(token => outlast(() => responses.get(token)), clock);
  const answers = new Counter({
    name: 'quarry_responder_answers_total',
    help: 'Answers to http-01 requests, by status',
    labelNames: ['status'],
    registers: [metrics],
  });

  async function find(token: string): Promise<Answer> {
    try {
      const keyAuthorization = await get(token);
      log.debug({ token, found: keyAuthorization !== null }, 'challenge asked for');
      if (keyAuthorization === null) return notFound;
      return { status: 200, type: 'application/octet-stream', body: keyAuthorization };
    } catch (error) {
      log.warn({ reason: describeError(error) }, 'challenge cannot be looked up');
      return { status: 503, type: 'text/plain', body: 'try again\n' };
    }
  }

  return async (request, answer) => {
    const token = toToken(request);
    const found = token === undefined ? notFound : await find(token);
    answers.inc({ status: found.status });
    answer(found);
  };
}

const PATH = /^(?:http:\/\/[^/]+)?\/\.well-known\/acme-challenge\/([^?]*)/;

/** The token of a request that can be for a challenge at all; Redis is asked for nothing else. */
function toToken({ method, target }: Request): string | undefined {
  const [, token = ''] = (method === 'GET' || method === 'HEAD' ? PATH.exec(target) : null) ?? [];
  return tokenPattern.test(token) ? token : undefined;
}
