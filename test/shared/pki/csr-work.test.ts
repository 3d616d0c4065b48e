import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { encodePem } from '../../../shared/pki/certificate.ts';
import { readCsr } from '../../../shared/pki/csr.ts';
import type { Work } from './csr-work.ts';
import { alternativeNames, der, extensionAttribute, handmadeCsr, oid } from './handmade-csr.ts';
import { makeCsr, rsaKey } from './openssl-csr.ts';

// What a client can make the intake do before it knows that the CSR is good, counted and not timed. A block
// of our code that is entered takes some 10 to 50 ns, so that these are at most 1 ms; what Node does at once
// for a name that has A-labels takes some 5 to 20 µs, and it is asked for at most 100 of them.

const MOST_WORK = 20_000;
/** The largest body that the intake reads by default. */
const MAX_SIZE = 16 * 1024;
const LARGEST_DER = Math.floor((MAX_SIZE * 64 * 3) / (65 * 4)) - 100;

let counter: Worker;
before(() => {
  counter = new Worker(new URL('csr-work.ts', import.meta.url));
});
after(() => counter.terminate());

async function countWork(body: Buffer): Promise<Work> {
  counter.postMessage(body);
  const [work] = await once(counter, 'message');
  return work;
}

const room = LARGEST_DER - 400;
const fill = <T>(size: number, make: (at: number) => T) =>
  Array.from({ length: Math.floor(room / size) }, (_, at) => make(at));
const short = (at: number) => `n${at.toString(36)}`;
const utf8 = (text: string) => der(0x0c, Buffer.from(text));
const subject = (...values: Buffer[]) =>
  der(0x30, ...values.map(value => der(0x31, der(0x30, oid.commonName, value))));
const asking = (...names: string[]) => extensionAttribute(oid.extensionRequest, alternativeNames(...names));
const named = asking('a.example');
/** An OBJECT IDENTIFIER of so many numbers. */
const longOid = (numbers: number) => der(0x06, Buffer.alloc(numbers, 0x2a));
const label = (text: string, times: number) => Array.from({ length: times }, () => text).join('.');

const dear: [what: string, csr: () => Buffer][] = [
  [
    '200 CNs',
    () =>
      handmadeCsr({
        subject: subject(...Array.from({ length: 200 }, () => utf8('xn--a.b'))),
        attributes: [named],
      }),
  ],
  [
    'CNs alone',
    () => handmadeCsr({ subject: subject(...fill(18, () => utf8('xn--a.b'))), attributes: [named] }),
  ],
  [
    '100 CNs of A-labels',
    () =>
      handmadeCsr({
        subject: subject(...Array.from({ length: 100 }, () => utf8(label('xn--tda', 12)))),
        attributes: [named],
      }),
  ],
  [
    '100 CNs that are addresses',
    () =>
      handmadeCsr({
        subject: subject(...Array.from({ length: 100 }, (_, at) => utf8(`2001:db8::${at}`))),
        attributes: [named],
      }),
  ],
  ['short SANs', () => handmadeCsr({ attributes: [asking(...fill(6, short))] })],
  ['one SAN many times', () => handmadeCsr({ attributes: [asking(...fill(9, () => 'xn--tda'))] })],
  [
    '100 SANs of many labels',
    () =>
      handmadeCsr({
        attributes: [asking(...Array.from({ length: 100 }, (_, at) => `${label('a', 55)}.${short(at)}`))],
      }),
  ],
  [
    '48 SANs of A-labels',
    () =>
      handmadeCsr({
        attributes: [
          asking(...Array.from({ length: 48 }, (_, at) => `${label('xn--tda', 29)}.${short(at)}`)),
        ],
      }),
  ],
  [
    '48 SANs whose last label is broken',
    () =>
      handmadeCsr({
        attributes: [asking(...Array.from({ length: 48 }, () => `${label('xn--tda', 29)}.xn--a`))],
      }),
  ],
  [
    'elements',
    () => handmadeCsr({ attributes: [named, der(0x30, longOid(3), der(0x31, ...fill(2, () => der(0x05))))] }),
  ],
  [
    'elements in a SAN',
    () =>
      handmadeCsr({
        attributes: [
          extensionAttribute(
            oid.extensionRequest,
            der(0x30, oid.subjectAltName, der(0x04, der(0x30, ...fill(2, () => der(0x82))))),
          ),
        ],
      }),
  ],
  [
    'attributes',
    () =>
      handmadeCsr({
        attributes: [
          named,
          ...fill(9, at => der(0x30, der(0x06, Buffer.from([0x2a, at & 0x7f, at >> 7])), der(0x31))),
        ],
      }),
  ],
  [
    'extensions',
    () =>
      handmadeCsr({
        attributes: [
          extensionAttribute(
            oid.extensionRequest,
            ...fill(13, at =>
              der(0x30, der(0x06, Buffer.from([0x2a, at & 0x7f, at >> 7])), der(0x04, der(0x05))),
            ),
          ),
        ],
      }),
  ],
  [
    'a long OBJECT IDENTIFIER',
    () =>
      handmadeCsr({
        subject: der(0x30, der(0x31, der(0x30, longOid(room - 20), utf8('a')))),
        attributes: [named],
      }),
  ],
  ['a long name', () => handmadeCsr({ attributes: [asking(label('a', room / 2))] })],
  ['a long CN', () => handmadeCsr({ common: utf8(label('a', room / 2)), attributes: [named] })],
  [
    'a long CN in UTF-16',
    () => handmadeCsr({ common: der(0x1e, Buffer.alloc(room - (room % 2), 0x61)), attributes: [named] }),
  ],
  [
    'a hundred names',
    () =>
      handmadeCsr({
        attributes: [
          asking(...Array.from({ length: 100 }, (_, at) => `host-${short(at)}.department.example.org`)),
        ],
      }),
  ],
  [
    'an RSA key of 2048 bits',
    () => readCsr(Buffer.from(makeCsr({ key: rsaKey(), names: 'DNS:a.example' }))).der,
  ],
];

for (const [what, make] of dear) {
  test(`${what}: a CSR of 16 KB at most costs little, whatever becomes of it`, async t => {
    const csr = make();
    const body = Buffer.from(encodePem('CERTIFICATE REQUEST', csr));
    assert.ok(body.length <= MAX_SIZE, `${body.length} bytes`);
    const { entered, refused } = await countWork(body);
    if (refused) assert.equal(refused.code, 'badCsr', refused.message);
    t.diagnostic(`${csr.length} bytes, entered ${entered} blocks: ${refused?.message ?? 'accepted'}`);
    assert.ok(entered < MOST_WORK, `${entered}`);
  });
}

const line = '-----BEGIN CERTIFICATE REQUEST-----\n';
const last = line.replace('BEGIN', 'END');

for (const [what, body] of [
  ['of line ends', line + '\n'.repeat(MAX_SIZE - 2 * line.length) + last],
  ['of CSRs', `${line}AAAA\n${last}`.repeat(Math.floor(MAX_SIZE / (2 * line.length + 5)))],
  ['of beginnings', line.repeat(Math.floor(MAX_SIZE / line.length))],
] as const) {
  test(`a body ${what} costs little`, async t => {
    const { entered, refused } = await countWork(Buffer.from(body));
    assert.equal(refused?.code, 'badCsr');
    t.diagnostic(`${body.length} bytes, entered ${entered} blocks`);
    assert.ok(entered < MOST_WORK, `${entered}`);
  });
}
