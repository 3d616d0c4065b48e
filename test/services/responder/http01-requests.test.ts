import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  bad,
  closing,
  get,
  kept,
  keyAuthorization,
  last,
  notFound,
  openResponder,
  path,
  refusal,
  say,
} from './open-http01.ts';

const answered: Record<string, [string, string]> = {
  'a request that closes': [last, closing + keyAuthorization],
  'one that goes on, and the next one': [get() + last, kept + keyAuthorization + closing + keyAuthorization],
  'HEAD, with the headers alone': [
    get().replace('GET', 'HEAD') + last.replace('GET', 'HEAD'),
    kept + closing,
  ],
  'HTTP/1.0, and closes': [`GET ${path} HTTP/1.0\r\n\r\n`, closing + keyAuthorization],
  'a target with a scheme and a host, as a proxy may send it': [
    last.replace(path, `http://www.example.org:80${path}?a`),
    closing + keyAuthorization,
  ],
  'one that expects to be told to go on': [
    get('Expect: 100-continue') + last,
    kept + keyAuthorization + closing + keyAuthorization,
  ],
  'one that would speak another protocol, and nothing after it': [
    get('Connection: upgrade', 'Upgrade: h2c') + last,
    closing + keyAuthorization,
  ],
  'one after an empty line': [`\r\n${last}`, closing + keyAuthorization],
  'another method, and the next request': [
    get().replace('GET', 'OPTIONS') + last,
    notFound('keep-alive\r\nKeep-Alive: timeout=10') + closing + keyAuthorization,
  ],
  'one of many that closes, and none after it': [last + get(), closing + keyAuthorization],
  'CLOSE among other words': [get('Connection: x,\tClose') + get(), closing + keyAuthorization],
  'one with a body, and nothing after it': [
    `${get('Content-Length: 3')}abc${get()}`,
    closing + keyAuthorization,
  ],
  'one with a body that could be a request': [
    `${get(`Content-Length: ${get().length}`)}${get()}${get()}`,
    closing + keyAuthorization,
  ],
  'one with an empty body, and nothing after it': [
    `${get('Content-Length: 0')}${get()}`,
    closing + keyAuthorization,
  ],
  'one with a body in chunks, and nothing after it': [
    `${get('Transfer-Encoding: chunked').replace('GET', 'POST')}0\r\n\r\n${get()}`,
    notFound('close'),
  ],
};
for (const [what, [bytes, wanted]] of Object.entries(answered))
  test(`a responder answers ${what}`, async () => {
    await using responder = await openResponder();
    assert.equal(await say(responder, bytes), wanted);
  });

const line = `GET ${path} HTTP/1.1`;
const refused: Record<string, [string, string]> = {
  'no host': [`${line}\r\n\r\n`, bad],
  'a length twice': [get('Content-Length: 3', 'Content-Length: 3'), bad],
  'a length and chunks': [get('Content-Length: 3', 'Transfer-Encoding: chunked'), bad],
  'chunks twice': [get('Transfer-Encoding: chunked', 'transfer-encoding: chunked'), bad],
  'another coding': [get('Transfer-Encoding: gzip, chunked'), bad],
  'a length with a sign': [get('Content-Length: +3'), bad],
  'lengths in a list': [get('Content-Length: 3, 3'), bad],
  'a length with a no-break space': [get('Content-Length: 3\xa0'), bad],
  'lines that end in LF alone': [`${line}\nHost: x\n\n`, bad],
  'a line that ends in LF alone': [`${line}\r\nA: b\nHost: x\r\n\r\n`, bad],
  'CR within a line': [get('A: b\rc'), bad],
  'a folded header': [get('A: b', ' c'), bad],
  'a header that is none': [get('A'), bad],
  NUL: [get('A: \0'), bad],
  'a space before a colon': [get('A : b'), bad],
  'a header without a name': [get(': b'), bad],
  'a method that nobody knows': [get().replace('GET', 'GETS'), bad],
  'a method in small letters': [get().replace('GET', 'get'), bad],
  'a tunnel': ['CONNECT a.example:80 HTTP/1.1\r\nHost: x\r\n\r\n', bad],
  'a target that is no path': [get().replace(path, 'x'), bad],
  'a target with a byte that is not ASCII': [get().replace(path, '/\xe4'), bad],
  'two spaces': [get().replace(' HTTP', '  HTTP'), bad],
  'HTTP/0.9': [`GET ${path}\r\n\r\n`, bad],
  'HTTP/2': [get().replace('1.1', '2.0'), bad],
  'a head of more than 16 KiB': [
    get(`A: ${'b'.repeat(17_000)}`),
    refusal('431 Request Header Fields Too Large'),
  ],
  'a head that does not end': ['GET /'.padEnd(17_000, 'a'), refusal('431 Request Header Fields Too Large')],
};
for (const [what, [bytes, wanted]] of Object.entries(refused))
  test(`a responder refuses ${what}, and hears of nothing after it`, async () => {
    await using responder = await openResponder();
    assert.equal(await say(responder, bytes + get()), wanted);
    assert.deepEqual(responder.asked, []);
  });
