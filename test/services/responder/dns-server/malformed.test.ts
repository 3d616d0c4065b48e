import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type Answer, encode } from 'dns-packet';
import { decodeReply, edns, framed, newQuery, openDnsServer } from './open-dns-server.ts';

const server = await openDnsServer();
after(() => server[Symbol.asyncDispose]());

const query = newQuery('www.acme.example.org', 'TXT', edns(1232));
const plain = newQuery('www.acme.example.org', 'TXT');

/** The query with some of its bytes replaced. */
function patched(at: number, ...bytes: number[]): Buffer {
  const copy = Buffer.from(query);
  copy.set(bytes, at);
  return copy;
}

/** Of a question with this name, as bytes. */
const named = (...name: number[]) =>
  Buffer.concat([plain.subarray(0, 12), Buffer.from(name), Buffer.from([0, 16, 0, 1])]);

const label = [63, ...Array.from({ length: 63 }, () => 0x61)];

for (const [what, message] of [
  ['nothing', Buffer.alloc(0)],
  ['a fragment of a head', query.subarray(0, 11)],
  ['an answer', patched(2, 0x80)],
  ['an answer to an update', patched(2, 0xa8)],
] as const)
  test(`the DNS responder passes over ${what}`, async () => {
    assert.equal(await server.passesOver(message), true);
  });

for (const [what, message] of [
  ['a head alone', query.subarray(0, 12)],
  ['no question', patched(5, 0)],
  ['two questions', patched(5, 2)],
  ['a name that does not end', query.subarray(0, 20)],
  ['a question without a class', plain.subarray(0, -2)],
  ['a name that points at itself', named(0xc0, 0x0c)],
  ['a label of 64 bytes', named(64, ...Array.from({ length: 64 }, () => 0x61), 0)],
  ['an extended label', named(0x41, 0x08, 0)],
  ['a name of 257 bytes', named(...label, ...label, ...label, ...label, 0)],
  ['more records than there are', patched(11, 2)],
  ['fewer records than there are', patched(11, 0)],
  ['bytes behind the end', Buffer.concat([query, Buffer.from([0])])],
  ['an OPT that is cut off', query.subarray(0, -1)],
  ['options longer than the message', patched(query.length - 1, 1)],
  [
    'an OPT with a name',
    Buffer.concat([
      plain.subarray(0, 11),
      Buffer.from([1]),
      plain.subarray(12),
      Buffer.from('0161000029100000000000', 'hex'),
      Buffer.from([0, 0]),
    ]),
  ],
  ['an OPT among the answers', patched(7, 1, 0, 0, 0, 0)],
  ['two OPTs', Buffer.concat([patched(11, 2), query.subarray(-11)])],
] as const)
  test(`the DNS responder answers FORMERR to ${what}, with no more than a head`, async () => {
    const reply = await server.udp(message);
    assert.equal(reply.length, 12);
    assert.equal(reply.readUInt16BE(0), message.readUInt16BE(0));
    assert.equal(decodeReply(reply).rcode, 'FORMERR');
  });

for (const [what, opcode] of [
  ['an inverse query', 1],
  ['a status query', 2],
  ['a notification', 4],
  ['an update', 5],
  ['an opcode that does not exist', 15],
] as const)
  test(`the DNS responder answers NOTIMP to ${what}`, async () => {
    const reply = await server.udp(patched(2, opcode << 3));
    assert.deepEqual(
      [reply.length, reply.readUInt8(2) >> 3, decodeReply(reply).rcode],
      [12, 0x10 | opcode, 'NOTIMP'],
    );
  });

test('the DNS responder takes records that it does not know beside the question, such as a TSIG or those of an IXFR', async () => {
  const records = [{ type: 'A', name: 'www.acme.example.org', data: '192.0.2.1' }] as Answer[];
  for (const section of ['answers', 'authorities', 'additionals'])
    assert.equal((await server.ask('acme.example.org', 'SOA', { [section]: records })).rcode, 'NOERROR');
  const compressed = Buffer.concat([
    encode({ type: 'query', id: 1, questions: [{ type: 'SOA', name: 'acme.example.org' }] }),
    Buffer.from('c00c00fa00ff0000000000020102', 'hex'),
  ]);
  compressed.writeUInt16BE(1, 10);
  assert.equal(decodeReply(await server.udp(compressed)).rcode, 'NOERROR');
});

test('the DNS responder ends a TCP connection that brings no DNS, and answers FORMERR to what is nearly', async () => {
  assert.deepEqual(await server.tcp(framed(patched(2, 0x80))), []);
  assert.deepEqual(await server.tcp(Buffer.from([0, 0])), []);
  const [reply] = await server.tcp(framed(query.subarray(0, 20)));
  assert.equal(reply && decodeReply(reply).rcode, 'FORMERR');
});
