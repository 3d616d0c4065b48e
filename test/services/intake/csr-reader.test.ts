import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openCsrReader } from '../../../services/intake/routes/sign.ts';
import { readCsr } from '../../../shared/pki/csr.ts';
import { makeCsr } from '../../shared/pki/openssl-csr.ts';

const [one, other] = ['a.example', 'b.example'].map(name => Buffer.from(makeCsr({ names: `DNS:${name}` })));
assert.ok(one && other);

/** Reads each body as the intake does. */
function openRead(most?: number) {
  const { recall, read } = openCsrReader(most);
  return (body: Buffer) => read(recall(body));
}

test('openCsrReader() reads as readCsr() does, and the same body once', () => {
  const read = openRead();
  const first = read(one);
  assert.deepEqual(first, readCsr(one));
  assert.equal(read(Buffer.from(one)), first);
  assert.deepEqual(read(other), readCsr(other));
  assert.equal(read(one), first);
});

test('openCsrReader() tells bodies apart whose bytes differ where they are no UTF-8', () => {
  const read = openRead();
  const bodies = [0x80, 0x81].map(byte => Buffer.concat([one, Buffer.from([byte, 0x0a])]));
  assert.equal(bodies[0]?.toString(), bodies[1]?.toString());
  for (const body of bodies) assert.equal(read(body).postedDigest, readCsr(body).postedDigest);
});

test('openCsrReader() remembers no more bytes than it may, and no body that alone has more', () => {
  const sizeOf = (body: Buffer) => body.length + readCsr(body).der.length + readCsr(body).pem.length;
  const read = openRead(sizeOf(one) + sizeOf(other) + 1);
  const first = read(one);
  const second = read(other);
  assert.deepEqual([read(one) === first, read(other) === second], [true, true]);
  read(Buffer.from(`${one}\n`)); // in place of the one that was asked for first
  assert.deepEqual([read(other) === second, read(one) === first], [true, false]);
  const large = Buffer.concat([one, Buffer.alloc(10_000, '\n')]);
  assert.notEqual(read(large), read(large));
});

test('openCsrReader() refuses what it has refused before', () => {
  const read = openRead();
  for (let time = 0; time < 2; time++)
    assert.throws(() => read(Buffer.from('no CSR')), {
      code: 'badCsr',
      message: /no PEM certificate request/,
    });
});

test('openCsrReader() gives the Buffer in which the same bytes came before, and no other', () => {
  const { recall, read } = openCsrReader();
  assert.equal(recall(one).body, one);
  read(recall(one));
  const { body, csr } = recall(one);
  assert.deepEqual(body, one);
  assert.equal(recall(Buffer.from(one)).body, body);
  for (const kept of [body, csr?.der])
    assert.equal(kept?.buffer.byteLength, kept?.length, 'nothing else is kept with it');
  const alike = Buffer.from(`# of another host\n${one}`); // the end of both is the same
  assert.equal(recall(alike).body, alike);
  assert.notEqual(read(recall(alike)).postedDigest, read(recall(one)).postedDigest);
});
