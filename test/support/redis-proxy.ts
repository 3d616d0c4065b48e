import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A command as a client sent it; its name in lower case. */
export type SentCommand = { name: string; words: string[] };

/**
 * An answer in place of the command's, such as `OOM command not allowed`, or an end of the connection: before
 * Redis gets the command, or before its answer comes back. Else the command is passed on.
 */
export type Refusal = string | symbol;
export const CUT_BEFORE = Symbol('cut before');
export const CUT_AFTER = Symbol('cut behind');
type Refuse = (command: SentCommand) => Refusal | undefined;

export type RedisProxy = AsyncDisposable & {
  port: number;
  url: string;
  /** How many connections were made through it. */
  readonly made: number;
  /** What is asked before a command is passed on. */
  refuse: Refuse;
  /** From now on, connections that there are pass nothing on, neither way, and do not end. */
  goSilent(): void;
};

/** Has Redis itself answer with an error, in its turn. */
const answerWith = (error: string) => ['eval', 'return redis.error_reply(ARGV[1])', '0', error];

/** A proxy before a Redis of this host, which reads the commands that go through it. */
export async function startRedisProxy(port: number): Promise<RedisProxy> {
  const sockets = new Set<Socket>();
  let silent = new WeakSet<Socket>();
  let made = 0;
  const proxy: { refuse: Refuse } = { refuse: () => undefined };

  const server = createServer(socket => {
    made++;
    const onward = connect(port, '127.0.0.1');
    let isCut = false;
    const read = openCommandReader(command => {
      if (isCut) return;
      const refusal = proxy.refuse(command);
      isCut = typeof refusal === 'symbol';
      if (refusal === CUT_BEFORE) socket.destroy();
      else onward.write(typeof refusal === 'string' ? toBytes(answerWith(refusal)) : command.bytes);
    });
    socket.on('data', chunk => void (silent.has(socket) || read(chunk)));
    onward.on('data', chunk => {
      if (isCut) socket.destroy();
      else if (!silent.has(onward)) socket.write(chunk);
    });
    for (const [from, to] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      sockets.add(from);
      from.on('error', () => {});
      from.on('close', () => {
        sockets.delete(from);
        if (!silent.has(from)) to.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1').unref();
  await once(server, 'listening');
  const own = (server.address() as AddressInfo).port;
  return Object.defineProperties(proxy, {
    port: { value: own },
    url: { value: `redis://127.0.0.1:${own}` },
    made: { get: () => made },
    goSilent: {
      value() {
        silent = new WeakSet(sockets);
      },
    },
    [Symbol.asyncDispose]: {
      async value() {
        for (const socket of sockets) socket.destroy();
        server.close();
        await once(server, 'close');
      },
    },
  }) as unknown as RedisProxy;
}

const toBytes = (words: string[]) =>
  Buffer.from(
    `*${words.length}\r\n${words.map(word => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`,
  );

/** Reads commands out of a stream, whatever its chunks are: arrays of bulk strings, as clients send them. */
function openCommandReader(on: (command: SentCommand & { bytes: Buffer }) => void): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  return chunk => {
    rest = Buffer.concat([rest, chunk]);
    for (let read = readCommand(rest); read; read = readCommand(rest)) {
      const [name = '', ...words] = read.words;
      on({ name: name.toLowerCase(), words, bytes: rest.subarray(0, read.end) });
      rest = rest.subarray(read.end);
    }
  };
}

/** @returns `undefined` where the command is not there whole */
function readCommand(bytes: Buffer): { words: string[]; end: number } | undefined {
  let at = 0;
  const readCount = () => {
    const end = bytes.indexOf('\r\n', at);
    const count = end < 0 ? undefined : Number(bytes.toString('latin1', at + 1, end));
    at = end + 2;
    return count;
  };
  const count = readCount();
  if (count === undefined) return undefined;
  const words: string[] = [];
  for (let word = 0; word < count; word++) {
    const length = readCount();
    if (length === undefined || at + length + 2 > bytes.length) return undefined;
    words.push(bytes.toString('utf8', at, at + length));
    at += length + 2;
  }
  return { words, end: at };
}
