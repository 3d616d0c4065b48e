import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { makeServers, token } from './open-http01.ts';

// Whatever request our server answers, Node's reads alike. Otherwise somebody before it, who reads as Node
// does, and ours could differ on where a request begins.

const challenges = '/.well-known/acme-challenge/';
const path = `${challenges}${token}`;
const request = (first: string, ...fields: string[]) => [first, ...fields, '', ''].join('\r\n');
const originals = [
  request(`GET ${path} HTTP/1.1`, 'Host: x'),
  request(`HEAD ${path}?a HTTP/1.1`, 'Host: x', 'Connection: keep-alive'),
  request(`GET ${path} HTTP/1.1`, 'Host: x', 'Connection: a, close'),
  request(`GET http://x${path} HTTP/1.1`, 'Host: x', 'Accept: */*'),
  request(`GET ${path} HTTP/1.0`, 'User-Agent: a'),
  request('OPTIONS * HTTP/1.1', 'Host: x'),
  request('GET /a#b?c HTTP/1.1', 'Host: x', 'Expect: 100-continue'),
  request('GET / HTTP/1.1', 'Host: x', 'Upgrade: h2c', 'Connection: upgrade'),
  `${request(`POST ${path} HTTP/1.1`, 'Host: x', 'Content-Length: 4')}abcd`,
  `${request(`GET ${path} HTTP/1.1`, 'Host: x', 'Transfer-Encoding: chunked')}4\r\nabcd\r\n0\r\n\r\n`,
];
const scraps = [
  ...['\r\n', '\n', '\r', '\0', '\x85', '\xa0', '\t', ' ', ':', ';', ',', '/', '*', '#', '%', '0', '4'],
  ...['chunked', 'close', 'Content-Length: 4\r\n', 'Transfer-Encoding: chunked\r\n', 'HTTP/1.1', 'http://'],
  ...['GET / HTTP/1.1\r\nHost: x\r\n\r\n', 'Host', 'Connection: ', 'Upgrade: a\r\n'],
];

/** The same numbers for the same seed. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return below => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** One request to three on one connection, with a few changes. */
function mutate(random: (below: number) => number): string {
  const one = () => originals[random(originals.length)] as string;
  let bytes = Array.from({ length: 1 + random(3) }, one).join('');
  for (let changes = random(4); changes > 0; changes--) {
    const [at, length] = [random(bytes.length), random(6)];
    const scrap = random(3) === 0 ? one().slice(random(40)).slice(0, 12) : scraps[random(scraps.length)];
    bytes = bytes.slice(0, at) + (random(3) === 0 ? '' : scrap) + bytes.slice(at + length);
  }
  return bytes;
}

/** Brings the bytes to a server, cut at random. @returns what it answers until it has nothing to do */
async function bring(server: NodeJS.EventEmitter, bytes: string, random: (below: number) => number) {
  let said = '';
  const wire = new Duplex({
    read() {},
    write(chunk, _, done) {
      said += chunk.toString('latin1');
      done();
    },
  });
  server.emit(
    'connection',
    wire.on('error', () => {}),
  );
  for (let at = 0; at < bytes.length && !wire.destroyed; ) {
    const size = 1 + random(random(2) === 0 ? 4 : bytes.length);
    wire.push(Buffer.from(bytes.slice(at, at + size), 'latin1'));
    at += size;
    await new Promise(setImmediate);
  }
  for (let turn = 0; turn < 8; turn++) await new Promise(setImmediate);
  wire.destroy();
  return said;
}

/** What a request that Node has read is to be answered: status, length and body; written anew here. */
function answerFor({ method = '', url = '' }: IncomingMessage): string {
  const [target = ''] = url.replace(/^http:\/\/[^/]+/, '').split('?');
  const one = target.slice(challenges.length);
  const isToken = target.startsWith(challenges) && /^[\w-]{16,512}$/.test(one);
  const isFound = isToken && (method === 'GET' || method === 'HEAD');
  const body = isFound ? `${one}.` : 'not found\n';
  return `${isFound ? 200 : 404} ${body.length} ${method === 'HEAD' ? '' : body}`;
}

/** The answers in what a server said, likewise. */
const answersIn = (said: string) =>
  said.split(/(?=HTTP\/1\.1 \d{3} )/).map(one => {
    const [head = '', body] = one.split('\r\n\r\n');
    const [, length = '0'] = /^Content-Length: (\d+)$/m.exec(head) ?? [];
    return `${head.slice(9, 12)} ${length} ${body}`;
  });

const isRefusal = (answer: string) => /^4(?:00|31) /.test(answer);

test('whatever request a responder answers, Node reads alike', async t => {
  const random = randomFrom(20_261_128);
  let nodes: string[] = [];
  const node = createServer();
  const take = (asked: IncomingMessage, answer: ServerResponse) => {
    nodes.push(answerFor(asked));
    asked.resume();
    answer.end();
  };
  for (const event of ['request', 'checkContinue', 'checkExpectation']) node.on(event, take);
  const ours = makeServers({ responses: { get: async one => `${one}.` } })();
  let [answered, refused] = [0, 0];
  for (let round = 0; round < 2_000; round++) {
    const bytes = mutate(random);
    nodes = [];
    const said = await bring(ours, bytes, random);
    await bring(node, bytes, random);
    const answers = said === '' ? [] : answersIn(said);
    const taken = answers.filter(answer => !isRefusal(answer));
    assert.deepEqual(taken, nodes.slice(0, taken.length), JSON.stringify({ bytes, said }));
    answered += taken.length;
    refused += answers.length - taken.length;
  }
  t.diagnostic(`${answered} answered, ${refused} refused`);
  assert.ok(answered > 1_000 && refused > 500);
});
