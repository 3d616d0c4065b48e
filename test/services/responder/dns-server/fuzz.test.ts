import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseQuery } from '../../../../services/responder/dns-server/query.ts';
import { encodeTruncated, udpLimit } from '../../../../services/responder/dns-server/reply.ts';
import { responding } from '../../../../services/responder/dns-server/respond.ts';
import type { LookUp } from '../../../../services/responder/dns-server/share-lookups.ts';
import { openZones } from '../../../../services/responder/dns-server/zones.ts';
import type { RecordsFound } from '../../../../shared/solver/dns-records.ts';
import { seededRandom } from '../../../soak/random.ts';
import { quietLog } from '../../../support/quiet-log.ts';
import { decodeReply, edns, framed, newQuery, openDnsServer, zone } from './open-dns-server.ts';

// Messages that are nearly right, by a seed: FUZZ_SEED and FUZZ_ROUNDS run other ones, and more of them.

const seed = Number(process.env.FUZZ_SEED ?? 1);
const rounds = Number(process.env.FUZZ_ROUNDS ?? 20_000);
const random = seededRandom(seed);
const upTo = (most: number) => Math.floor(random.next() * (most + 1));

const seeds = [
  'www.acme.example.org',
  'acme.example.org',
  'ns1.acme.example.org',
  'example.org',
  '.',
].flatMap(name =>
  ['TXT', 'SOA', 'ANY', 'AXFR'].flatMap(type => [
    newQuery(name, type),
    newQuery(name, type, edns(upTo(65_535))),
  ]),
);

const changes: ((message: Buffer) => Buffer)[] = [
  message => message.subarray(0, upTo(message.length)),
  message => Buffer.concat([message, Buffer.from(Array.from({ length: upTo(40) }, () => upTo(255)))]),
  message => change(message, copy => copy.writeUInt8(upTo(255), upTo(message.length - 1))),
  message =>
    change(message, copy =>
      copy.writeUInt8((copy[upTo(message.length - 1)] ?? 0) ^ (1 << upTo(7)), upTo(11)),
    ),
  message => change(message, copy => copy.writeUInt8(0xc0 | upTo(1), upTo(message.length - 1))),
  message => change(message, copy => copy.copy(copy, upTo(message.length - 1), upTo(message.length - 1))),
  () => Buffer.from(Array.from({ length: upTo(600) }, () => upTo(255))),
];

function change(message: Buffer, act: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(message);
  if (copy.length > 12) act(copy);
  return copy;
}

function nextMessage(): Buffer {
  let message = seeds[upTo(seeds.length - 1)] as Buffer;
  for (let count = 1 + upTo(3); count > 0; count--)
    message = (changes[upTo(changes.length - 1)] ?? (one => one))(message);
  return message;
}

/** The name in a question that is in form, read another way. */
function readName(message: Buffer): string {
  const labels: string[] = [];
  for (let at = 12; message[at] !== 0; at += 1 + message.readUInt8(at))
    labels.push(message.toString('latin1', at + 1, at + 1 + message.readUInt8(at)));
  const toDigits = (byte: string) => `\\${`${byte.charCodeAt(0)}`.padStart(3, '0')}`;
  return labels.map(label => label.replace(/[^\w-]/g, toDigits).toLowerCase()).join('.');
}

const lookUp: LookUp<RecordsFound> = (name, tell) =>
  tell({ values: name.startsWith('www') ? ['a value', 'another'] : [], isAbove: false });
const respond = responding({ zones: { current: openZones([zone]) }, lookUp, log: quietLog }, () => {});

test(`the DNS responder survives ${rounds} broken messages, and answers those that it answers in form (seed ${seed})`, () => {
  for (let round = 0; round < rounds; round++) {
    const message = nextMessage();
    const shown = `round ${round}: ${message.toString('hex')}`;
    const parsed = parseQuery(message);
    if (!parsed) continue;
    const limit = 'query' in parsed ? udpLimit(parsed.query) : 12;
    if ('query' in parsed) assert.equal(parsed.query.name, readName(message), shown);
    const replies: Buffer[] = [];
    respond(parsed, 'udp', limit, reply => replies.push(reply));
    assert.equal(replies.length, 1, shown);
    if ('query' in parsed) replies.push(encodeTruncated(parsed.query));
    for (const reply of replies) {
      assert.ok(reply.length >= 12 && reply.length <= limit, shown);
      assert.equal(reply.readUInt16BE(0), message.readUInt16BE(0), shown);
      assert.ok(reply.readUInt8(2) & 0x80, shown);
      assert.doesNotThrow(() => decodeReply(reply), shown);
      const { rcode, flag_tc } = decodeReply(reply);
      if (flag_tc || !['NOERROR', 'NXDOMAIN'].includes(rcode))
        assert.ok(reply.length <= message.length, shown);
    }
  }
});

test(`the DNS responder goes on answering after broken datagrams and connections (seed ${seed})`, async () => {
  await using server = await openDnsServer();
  for (let round = 0; round < 50; round++) {
    const messages = Array.from({ length: 20 }, nextMessage);
    await server.passesOver(messages[0] ?? Buffer.alloc(0));
    const bytes = Buffer.concat([framed(...messages), Buffer.from([0, 1])]);
    await server.tcp(round % 2 === 0 ? bytes : bytes.subarray(upTo(30)), 1);
    assert.equal((await server.ask('acme.example.org', 'SOA')).rcode, 'NOERROR');
  }
  assert.equal(server.log.text().includes('"level":50'), false, server.log.text());
});
