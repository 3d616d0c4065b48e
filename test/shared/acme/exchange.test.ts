import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { request as nodesRequest } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { Exchanges } from '../../../shared/acme/exchange.ts';
import type { Answer } from '../../../shared/acme/read-answer.ts';
import { root } from '../../support/read-sources.ts';
import { tlsAuthority } from '../../support/tls-authority.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { ANSWERED, CONNECTIONS } from './tls-thread.ts';

type Pieces = string | readonly string[];

async function listenOn<S extends Server>(server: S): Promise<S & AsyncDisposable & { port: number }> {
  const sockets = new Set<Socket>();
  server.on('connection', socket => sockets.add(socket));
  server.listen(0);
  await once(server, 'listening');
  return Object.assign(server, {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  });
}

/** Answers each request with the next of the pieces, byte for byte; `end` ends the connection after each. */
async function serve(answers: Pieces[], { end = false } = {}) {
  const [left, seen] = [[...answers], { connections: 0, requests: [] as string[] }];
  const server = createServer(socket => {
    seen.connections++;
    socket.on('error', () => {});
    socket.on('data', async bytes => {
      seen.requests.push(bytes.toString());
      for (const piece of [left.shift() ?? []].flat()) {
        await new Promise(done => socket.write(piece, 'latin1', done));
        await new Promise(setImmediate); // so that it arrives by itself
      }
      if (end) socket.end();
    });
  });
  return Object.assign(await listenOn(server), { seen });
}

/** What one request is answered with. */
async function ask(pieces: Pieces, { method = 'GET', end = true } = {}): Promise<Answer> {
  await using server = await serve([pieces], { end });
  using exchanges = new Exchanges();
  return await get(exchanges, server, method);
}

const begin = (exchanges: Exchanges, { port }: { port: number }, method = 'GET') =>
  exchanges.begin(new URL(`http://127.0.0.1:${port}/`), { method, headers: [] });

const get = (...asked: Parameters<typeof begin>) => begin(...asked).answer;

const getOverTls = (exchanges: Exchanges, { port }: { port: number }, host = '127.0.0.1') =>
  exchanges.begin(new URL(`https://${host}:${port}/`), { method: 'GET', headers: [] }).answer;

const whole = (...fields: string[]) => ['HTTP/1.1 200 OK', ...fields, '', ''].join('\r\n');
const chunked = whole('Transfer-Encoding: chunked');
const two = `${whole('Content-Length: 2')}ok`;
const mib = 1024 * 1024;

type Wanted = { status?: number; body?: string; headers?: [string, string][] };

const read: Record<string, [Pieces, Wanted, method?: string]> = {
  'one of a length': [two, { status: 200, body: 'ok' }],
  'one that comes byte by byte': [[...two], { body: 'ok' }],
  'one of no length, up to the end of the connection': [[whole(), 'o', 'k'], { body: 'ok' }],
  'one of HTTP/1.0': ['HTTP/1.0 404 Not Found\r\n\r\nnone', { status: 404, body: 'none' }],
  'one without words for its status': ['HTTP/1.1 201\r\nContent-Length: 0\r\n\r\n', { status: 201 }],
  'one in chunks': [`${chunked}1\r\no\r\n1\r\nk\r\n0\r\n\r\n`, { body: 'ok' }],
  'chunks that come byte by byte': [[...`${chunked}2\r\nok\r\n0\r\n\r\n`], { body: 'ok' }],
  'chunks with extensions and trailers': [
    `${chunked}00A;a="b"\r\n0123456789\r\n0;c\r\nA: b\r\nC: d\r\n\r\n`,
    { body: '0123456789' },
  ],
  'the coding in capitals': [`${whole('TRANSFER-ENCODING: Chunked')}0\r\n\r\n`, { body: '' }],
  'the answer after those that say to wait': [
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n${two}`,
    { status: 200, body: 'ok' },
  ],
  'one after empty lines': [`\r\n\r\n${two}`, { body: 'ok' }],
  'the answer after one that says to wait, and an empty line': [
    `HTTP/1.1 100 Continue\r\n\r\n\r\n${two}`,
    { body: 'ok' },
  ],
  'chunks of which it is said twice that they are': [
    `${whole('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked')}2\r\nok\r\n0\r\n\r\n`,
    { body: 'ok' },
  ],
  'sizes of chunks with zeros before them': [
    `${chunked}${'0'.repeat(15)}2\r\nok\r\n00\r\n\r\n`,
    { body: 'ok' },
  ],
  'a no-break space as part of a header': [
    whole('A: \xa0b\xa0 ', 'Content-Length: 0'),
    {
      headers: [
        ['a', '\xa0b\xa0'],
        ['content-length', '0'],
      ],
    },
  ],
  'none of the body where HEAD was asked': [whole('Content-Length: 700'), { body: '' }, 'HEAD'],
  'none of the body of a 204': ['HTTP/1.1 204 No Content\r\n\r\n', { status: 204, body: '' }],
  'none of the body of a 304': ['HTTP/1.1 304 X\r\nContent-Length: 7\r\n\r\n', { status: 304, body: '' }],
  'headers in any case, without the space around them': [
    whole('REPLAY-nonce:\t abc \t', 'Empty:', 'Content-Length: 0'),
    {
      headers: [
        ['replay-nonce', 'abc'],
        ['empty', ''],
        ['content-length', '0'],
      ],
    },
  ],
  'the first of a header that counts once, and all of others': [
    whole('Location: a', 'Location: b', 'Link: <a>', 'Link: <b>', 'Content-Length: 0'),
    {
      headers: [
        ['location', 'a'],
        ['link', '<a>, <b>'],
        ['content-length', '0'],
      ],
    },
  ],
  'a header with the name of what objects have': [
    whole('__proto__: a', 'Content-Length: 0'),
    {
      headers: [
        ['__proto__', 'a'],
        ['content-length', '0'],
      ],
    },
  ],
  'UTF-8': [`${whole('Content-Length: 2')}\xc3\xa4`, { body: 'ä' }],
  'a mebibyte': [[whole(`Content-Length: ${mib}`), 'x'.repeat(mib)], { body: 'x'.repeat(mib) }],
};
for (const [what, [pieces, wanted, method]] of Object.entries(read))
  test(`an exchange reads ${what}`, async () => {
    const answer = await ask(pieces, method === undefined ? {} : { method });
    const { headers, ...rest } = wanted;
    assert.partialDeepStrictEqual(answer, rest);
    if (headers) assert.deepEqual(Object.entries(answer.headers), headers);
  });

const refused: Record<string, [Pieces, RegExp]> = {
  'nothing at all': ['', /closed before the end/],
  'half a head': ['HTTP/1.1 200 OK\r\nA: b', /closed before the end/],
  'less than its length': [`${whole('Content-Length: 3')}ok`, /closed before the end/],
  'chunks without the last one': [`${chunked}2\r\nok\r\n`, /closed before the end/],
  'another protocol': ['SSH-2.0-OpenSSH_9\r\n\r\n', /not HTTP/],
  'HTTP/2': ['HTTP/2 200\r\n\r\n', /not HTTP/],
  'a status of two digits': ['HTTP/1.1 20 OK\r\n\r\n', /not HTTP/],
  'a switch of protocols': ['HTTP/1.1 101 Switching Protocols\r\n\r\n', /not HTTP/],
  'a header without a colon': [whole('Content-Length 2'), /not HTTP/],
  'a space before the colon': [whole('Content-Length : 2'), /not HTTP/],
  'a folded header': [whole('A: b', ' c'), /not HTTP/],
  'a header without a name': [whole(': b'), /not HTTP/],
  'a control character in a header': [whole('A: b\0c'), /not HTTP/],
  'lines that end in LF alone': ['HTTP/1.1 200 OK\nA: b\n\r\n\r\n', /not HTTP/],
  'two lengths': [`${whole('Content-Length: 2', 'Content-Length: 2')}ok`, /not HTTP/],
  'a length below zero': [whole('Content-Length: -1'), /not HTTP/],
  'a length with a no-break space': [`${whole('Content-Length: 2\xa0')}ok`, /not HTTP/],
  'chunks with a no-break space': [`${whole('Transfer-Encoding: \xa0chunked')}0\r\n\r\n`, /not HTTP/],
  'a length with a sign': [`${whole('Content-Length: +2')}ok`, /not HTTP/],
  'a length and chunks': [`${whole('Content-Length: 2', 'Transfer-Encoding: chunked')}0\r\n\r\n`, /not HTTP/],
  'another coding': [`${whole('Transfer-Encoding: gzip, chunked')}0\r\n\r\n`, /not HTTP/],
  // HTTP has it no more (RFC 7230 appendix A.2), and Go's client refuses it: a CA that is in use sends none.
  'the coding that says that there is none': [`${whole('Transfer-Encoding: identity')}ok`, /not HTTP/],
  'a chunk without a size': [`${chunked}\r\n\r\n`, /not HTTP/],
  'a size that is no number': [`${chunked}0x2\r\nok\r\n0\r\n\r\n`, /not HTTP/],
  'a chunk that is longer than its size': [`${chunked}1\r\nok\r\n0\r\n\r\n`, /not HTTP/],
  'a line for a chunk that does not end': [[chunked, 'a'.repeat(1_100)], /not HTTP/],
  'a line for a chunk that is too long': [`${chunked}2;${'a'.repeat(1_100)}\r\nok\r\n`, /not HTTP/],
  'a damaged trailer': [`${chunked}0\r\nA b\r\n\r\n`, /not HTTP/],
  'trailers of more than 16 KiB': [`${chunked}0\r\nA: ${'b'.repeat(17_000)}\r\n\r\n`, /not HTTP/],
  'answers without end that say to wait': ['HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(80_000), /too large/],
  'empty lines without end': ['\r\n'.repeat(1_100_000), /too large/],
  'a head of more than 16 KiB': [['HTTP/1.1 200 OK\r\n', `A: ${'b'.repeat(17_000)}`], /not HTTP/],
  'a length of more than a mebibyte': [whole(`Content-Length: ${mib + 1}`), /too large/],
  'a length that no number can hold': [whole(`Content-Length: ${'9'.repeat(15)}`), /too large/],
  'a chunk of more than a mebibyte': [`${chunked}100001\r\n`, /too large/],
  'chunks of more than a mebibyte together': [
    [chunked, '80000\r\n', 'x'.repeat(mib / 2), '\r\n80001\r\n'],
    /too large/,
  ],
  'trailers without an end': [[`${chunked}0\r\n`, 'A: b\r\n'.repeat(4_000)], /not HTTP/],
  'more than a mebibyte up to the end': [[whole(), 'x'.repeat(mib + 1)], /too large/],
};
for (const [what, [pieces, fault]] of Object.entries(refused))
  test(`an exchange refuses ${what}`, async () => {
    await assert.rejects(ask(pieces), fault);
  });

test('an exchange says of a connection that breaks off that it was closed', async () => {
  await using server = await listenOn(createServer(socket => void socket.resetAndDestroy()));
  using exchanges = new Exchanges();
  await assert.rejects(get(exchanges, server), /closed|ECONNRESET/);
});

const kept: Record<string, Pieces> = {
  'of a length': two,
  'in chunks': `${chunked}2\r\nok\r\n0\r\n\r\n`,
  'without a body': 'HTTP/1.1 204 No Content\r\n\r\n',
  'whose server keeps connections for a minute': `${whole('Keep-Alive: timeout=60', 'Content-Length: 2')}ok`,
};
for (const [what, answer] of Object.entries(kept))
  test(`a connection is used again after an answer ${what}`, async () => {
    await using server = await serve([answer, answer, answer]);
    using exchanges = new Exchanges();
    for (let asked = 0; asked < 3; asked++) await get(exchanges, server);
    assert.equal(server.seen.connections, 1);
  });

const dropped: Record<string, Pieces> = {
  'that says so': `${whole('Connection: x, Close', 'Content-Length: 2')}ok`,
  'of HTTP/1.0': 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok',
  'with more than its length': `${two}HTTP/1.1 403 No\r\n`,
  'with more than its chunks': `${chunked}0\r\n\r\n\r\n`,
  'whose server closes within a second': `${whole('Keep-Alive: max=5, timeout=1', 'Content-Length: 2')}ok`,
};
for (const [what, answer] of Object.entries(dropped))
  test(`a connection is not used again after an answer ${what}`, async () => {
    await using server = await serve([answer, two]);
    using exchanges = new Exchanges();
    await get(exchanges, server);
    assert.equal((await get(exchanges, server)).body, 'ok');
    assert.equal(server.seen.connections, 2);
  });

test('an idle connection is closed before its server does it', async () => {
  await using server = await serve([`${whole('Keep-Alive: timeout=2', 'Content-Length: 2')}ok`, two]);
  using exchanges = new Exchanges();
  const connected = once(server, 'connection');
  await get(exchanges, server);
  const [socket] = (await connected) as [Socket];
  await once(socket, 'close');
  assert.equal((await get(exchanges, server)).body, 'ok');
});

test('requests at the same time have connections of their own, and later ones the last of them', async () => {
  await using server = await serve([two, two, two]);
  using exchanges = new Exchanges();
  await Promise.all([get(exchanges, server), get(exchanges, server)]);
  await get(exchanges, server);
  assert.equal(server.seen.connections, 2);
});

test('an empty line too many after an answer is no part of the next one', async () => {
  await using server = await serve([two, ['\r\n', two]]);
  using exchanges = new Exchanges();
  for (let asked = 0; asked < 2; asked++) assert.equal((await get(exchanges, server)).body, 'ok');
  assert.equal(server.seen.connections, 1);
});

test('a connection is not used again while a request that was answered early is not sent yet', async () => {
  const early = createServer(socket => {
    socket.on('error', () => {}).once('data', () => socket.write(two));
    socket.once('data', () => socket.pause());
  });
  await using server = await listenOn(early);
  using exchanges = new Exchanges();
  const at = new URL(`http://127.0.0.1:${server.port}/`);
  const sent = { method: 'POST', headers: ['Content-Length', `${20 * mib}`], body: 'x'.repeat(20 * mib) };
  assert.equal((await exchanges.begin(at, sent).answer).body, 'ok');
  assert.equal((await get(exchanges, server)).body, 'ok');
});

test('a connection is used again though its answer came before Node had heard that the request was sent', async () => {
  const { certFile, keyFile, caFile } = await tlsAuthority();
  const [cert, key, ca] = await Promise.all([certFile, keyFile, caFile].map(file => readFile(file, 'utf8')));
  const counts = new Int32Array(new SharedArrayBuffer(8));
  const workerData = { cert, key, answer: two, counts };
  const thread = new Worker(join(import.meta.dirname, 'tls-thread.ts'), { workerData });
  using exchanges = new Exchanges([ca ?? '']);
  try {
    const [port] = await once(thread, 'message');
    await getOverTls(exchanges, { port });
    await waitUntil('the first answer to be counted', () => counts[ANSWERED] === 1);
    await new Promise(setImmediate); // what is sent here is reported in the next turn, after what arrives
    const asking = getOverTls(exchanges, { port });
    Atomics.wait(counts, ANSWERED, 1);
    assert.equal((await asking).body, 'ok');
    assert.equal((await getOverTls(exchanges, { port })).body, 'ok');
    assert.equal(counts[CONNECTIONS], 1);
  } finally {
    await thread.terminate();
  }
});

test('a process keeps 256 idle connections, also where many become idle at once', async () => {
  const [most, all] = [256, 300];
  const asked: Socket[] = [];
  const held = createServer(socket => {
    socket
      .on('error', () => {})
      .once('data', () => {
        if (asked.push(socket) === all) for (const one of asked) one.write(two);
      });
  });
  await using server = await listenOn(held);
  using exchanges = new Exchanges();
  await Promise.all(Array.from({ length: all }, () => get(exchanges, server)));
  const count = promisify(server.getConnections.bind(server));
  await waitUntil('the others to be closed', async () => (await count()) === most);
});

test('what a server sends unasked on an idle connection is no answer to the next request', async () => {
  await using server = await serve([two, two]);
  using exchanges = new Exchanges();
  const connected = once(server, 'connection');
  await get(exchanges, server);
  const [socket] = (await connected) as [Socket];
  const closed = once(socket, 'close');
  socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
  await closed;
  assert.equal((await get(exchanges, server)).status, 200);
  assert.equal(server.seen.connections, 2);
});

test('an exchange that is over cuts off no other one', async () => {
  await using server = await serve([two, two]);
  using exchanges = new Exchanges();
  const first = begin(exchanges, server);
  await first.answer;
  const second = begin(exchanges, server);
  first.cut();
  assert.equal((await second.answer).body, 'ok');
});

test('an exchange that is cut off while it waits ends with its connection', async () => {
  await using server = await serve([]);
  using exchanges = new Exchanges();
  const { answer, cut } = begin(exchanges, server);
  cut();
  await assert.rejects(answer, /was closed/);
});

test('a request is sent as it is meant', async () => {
  await using server = await serve([two]);
  using exchanges = new Exchanges();
  const sent = { method: 'POST', headers: ['A', 'b', 'Content-Length', '3'], body: 'ä!' };
  await exchanges.begin(new URL(`http://127.0.0.1:${server.port}/a%20b?c=d`), sent).answer;
  assert.deepEqual(server.seen.requests, [
    `POST /a%20b?c=d HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\nA: b\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nä!`,
  ]);
});

async function serveOverTls() {
  const { certFile, keyFile, caFile } = await tlsAuthority();
  const [cert, key, ca] = await Promise.all([certFile, keyFile, caFile].map(file => readFile(file, 'utf8')));
  const seen = { resumed: [] as boolean[], requests: 0 };
  const server = createTlsServer({ cert, key, ALPNProtocols: ['http/1.1'] }, (socket: TLSSocket) => {
    seen.resumed.push(socket.isSessionReused());
    socket
      .on('error', () => {})
      .on('data', () => {
        seen.requests++;
        socket.write(two);
      });
  });
  server.on('tlsClientError', () => {});
  return Object.assign(await listenOn(server), { ca: [`${ca}`], seen });
}

test('a server without a certificate of the authorities is sent nothing', async () => {
  await using server = await serveOverTls();
  using exchanges = new Exchanges();
  await assert.rejects(getOverTls(exchanges, server), /certificate/);
  assert.equal(server.seen.requests, 0);
});

test('a server whose certificate is for another name is sent nothing', async () => {
  await using server = await serveOverTls();
  using exchanges = new Exchanges(server.ca);
  await assert.rejects(getOverTls(exchanges, server, '127.0.0.2'), /altnames/);
  assert.equal(server.seen.requests, 0);
});

test('a server knows us again by its session, also after it has reset an idle connection', async () => {
  await using server = await serveOverTls();
  using exchanges = new Exchanges(server.ca);
  for (let asked = 0; asked < 3; asked++) {
    const connected = once(server, 'connection');
    // It may be sent before we see that the connection was reset.
    const answer = await getOverTls(exchanges, server).catch(() => getOverTls(exchanges, server));
    assert.equal(answer.body, 'ok');
    const [socket] = (await connected) as [Socket];
    socket.resetAndDestroy();
  }
  assert.deepEqual(server.seen.resumed, [false, true, true]);
});

test('the sessions of a hundred servers are kept, those that were used last', async () => {
  await using server = await serveOverTls();
  using exchanges = new Exchanges(server.ca);
  await using servers = new AsyncDisposableStack();
  const { resumed } = server.seen;
  async function ask(at: { port: number }): Promise<boolean | undefined> {
    const connected = once(server, 'secureConnection');
    assert.equal((await getOverTls(exchanges, at)).body, 'ok');
    const [socket] = (await connected) as [TLSSocket];
    const closed = once(socket, 'close');
    socket.end();
    await closed;
    return resumed.at(-1);
  }
  const all: { port: number }[] = [];
  for (let count = 0; count < 101; count++) {
    const another = createServer(socket => server.emit('connection', socket));
    all.push(servers.use(await listenOn(another)));
  }
  for (const one of all) assert.equal(await ask(one), false);
  const [first, second] = all as [{ port: number }, { port: number }];
  assert.equal(await ask(second), true);
  assert.equal(await ask(first), false);
});

test('a process ends while a connection is idle', async () => {
  await using server = await serve([two]);
  const file = join(root, 'shared', 'acme', 'exchange.ts');
  const program = `
    const { Exchanges } = await import(${JSON.stringify(file)});
    const sent = { method: 'GET', headers: [] };
    const { body } = await new Exchanges().begin(new URL('http://127.0.0.1:${server.port}/'), sent).answer;
    process.stdout.write(body);`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
  assert.equal(stdout, 'ok');
});

/** What Node's client reads of the same bytes; `undefined` where it refuses them. */
async function readByNode(bytes: string, method: string): Promise<Answer | undefined> {
  const wire = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  const request = nodesRequest({ method, createConnection: () => wire });
  const answered = new Promise<Answer | undefined>(resolve => {
    request.on('error', () => resolve(undefined));
    request.on('response', async response => {
      const body = await buffer(response).catch(() => undefined);
      const headers = response.headers as Answer['headers'];
      resolve(body && { status: response.statusCode ?? 0, headers, body: body.toString() });
    });
  });
  request.end();
  // Byte by byte, as Node lets go of an answer that something follows at once.
  for (const byte of Buffer.from(bytes, 'latin1')) {
    wire.push(Buffer.of(byte));
    await new Promise(setImmediate);
  }
  wire.push(null);
  return await answered;
}

/** The same numbers for the same seed. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return below => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const originals = [
  ...Object.values(kept),
  ...Object.values(dropped),
  ...Object.values(read).map(([one]) => one),
]
  .map(pieces => [pieces].flat().join(''))
  .filter(bytes => bytes.length < 500);
const scraps = [
  '\xa0',
  '\x85',
  '\r\n',
  '\n',
  '\r',
  '\0',
  ':',
  ' ',
  ';',
  ',',
  '0',
  '2',
  'f',
  'chunked',
  '\t',
  'Content-Length: 1\r\n',
  'Link: <c>\r\n',
  'Location: c\r\n',
  'HTTP/1.1 ',
];

function mutate(random: (below: number) => number): string {
  let bytes = originals[random(originals.length)] as string;
  for (let changes = 1 + random(3); changes > 0; changes--) {
    const [at, length] = [random(bytes.length), random(6)];
    const scrap =
      random(3) === 0 ? bytes.slice(random(bytes.length)).slice(0, 12) : scraps[random(scraps.length)];
    bytes = bytes.slice(0, at) + (random(3) === 0 ? '' : scrap) + bytes.slice(at + length);
  }
  return bytes;
}

test('whatever answer an exchange accepts, Node reads alike', async t => {
  const seed = 20_261_127;
  const random = randomFrom(seed);
  const mutants = Array.from({ length: 1_000 }, () => mutate(random));
  await using server = await serve(mutants, { end: true });
  let accepted = 0;
  for (const bytes of mutants) {
    const method = random(4) === 0 ? 'HEAD' : 'GET';
    using exchanges = new Exchanges();
    const ours = await get(exchanges, server, method).catch(() => undefined);
    if (!ours) continue;
    accepted++;
    const nodes = await readByNode(bytes, method);
    const { ['__proto__']: _, ...headers } = ours.headers; // which Node loses
    assert.deepEqual(nodes, { ...ours, headers }, `${method} ${JSON.stringify(bytes)}`);
  }
  t.diagnostic(`${accepted} of ${mutants.length} accepted`);
  assert.ok(accepted > mutants.length / 10);
});
