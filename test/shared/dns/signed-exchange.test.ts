import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { suite, test } from 'node:test';
import { askingPeer } from '../../../shared/dns/query.ts';
import type { TsigKey } from '../../../shared/dns/tsig.ts';
import { updateTxt } from '../../../shared/dns/update.ts';
import { type Asked, reply, type Script, startScriptedDns } from '../../support/scripted-dns.ts';
import { turnedClock } from '../../support/turned-clock.ts';
import { toTsigKey } from '../../support/update-config.ts';

// A server that signs as RFC 8945 says, written apart from the product, and one that does it wrongly.

const secret = Buffer.alloc(32, 7);
const key: TsigKey = toTsigKey({ name: 'acme', algorithm: 'hmac-sha256', secret: secret.toString('base64') });
const now = 1_760_000_000;
const { signal } = new AbortController();

const hex = (text: string) => Buffer.from(text.replace(/\s/g, ''), 'hex');
const number = (value: number, bytes: number) => hex(value.toString(16).padStart(2 * bytes, '0'));
const nameOf = (...labels: string[]) =>
  Buffer.concat([...labels.flatMap(label => [number(label.length, 1), Buffer.from(label)]), number(0, 1)]);

type Signing = {
  time: number;
  fudge: number;
  error: number;
  other: Buffer;
  key: string;
  algorithm: string;
  secret: Buffer;
  requestMac: Buffer;
  mac(mac: Buffer): Buffer;
  /** The key's name as it stands before the record, where that is not how it is digested. */
  owner?: Buffer;
};

/** The MAC of a request whose only TSIG record ends it, with an HMAC of SHA-256. */
const macOf = ({ bytes }: Asked) => bytes.subarray(bytes.length - 6 - 32, bytes.length - 6);

/** The answer NOERROR, or another, to an update, without a signature. */
function plain({ bytes }: Asked, rcode = 0): Buffer {
  return Buffer.concat([bytes.subarray(0, 2), number(0xa800 | rcode, 2), Buffer.alloc(8)]);
}

function sign(message: Buffer, asked: Asked, own: Partial<Signing> = {}): Buffer {
  const usual = {
    time: now,
    fudge: 300,
    error: 0,
    other: Buffer.alloc(0),
    key: 'acme',
    algorithm: 'hmac-sha256',
  };
  const signing: Signing = { ...usual, secret, requestMac: macOf(asked), mac: mac => mac, ...own };
  const name = nameOf(...signing.key.split('.'));
  const head = [name, hex('00ff 00000000')];
  const timers = [nameOf(signing.algorithm), number(signing.time, 6), number(signing.fudge, 2)];
  const tail = [number(signing.error, 2), number(signing.other.length, 2), signing.other];
  const { requestMac } = signing;
  const digested = Buffer.concat([
    number(requestMac.length, 2),
    requestMac,
    message,
    ...head,
    ...timers,
    ...tail,
  ]);
  const mac = signing.mac(createHmac('sha256', signing.secret).update(digested).digest());
  const data = Buffer.concat([...timers, number(mac.length, 2), mac, message.subarray(0, 2), ...tail]);
  const record = [signing.owner ?? name, hex('00fa 00ff 00000000'), number(data.length, 2), data];
  const signed = Buffer.concat([message, ...record]);
  signed.writeUInt16BE(signed.readUInt16BE(10) + 1, 10);
  return signed;
}

/** Adds a record on a server with this script, at the clock's `now`. */
async function update(
  script: Script,
  more: { key?: TsigKey | undefined; clock?: number } = {},
): Promise<Asked[]> {
  await using scripted = await startScriptedDns(script);
  const clock = turnedClock((more.clock ?? now) * 1000);
  const peer = { server: scripted.server, timeout: 2_000, key: 'key' in more ? more.key : key, clock };
  const change = { do: 'add', name: '_acme-challenge.example.org', value: 'proof', ttl: 60 } as const;
  await updateTxt(peer, 'example.org', change, signal);
  return scripted.asked;
}

async function failure(script: Script, more?: Parameters<typeof update>[1]): Promise<string> {
  const error = await update(script, more).then(
    () => assert.fail('was believed'),
    error => error,
  );
  assert.equal(error.name, 'IssuanceError', error.stack);
  return `${error.code}: ${error.message.replace(/127\.0\.0\.1:\d+/, 'ns')}`;
}

suite('a signed update', () => {
  test('is what RFC 2136 and RFC 8945 say', async () => {
    const [asked] = await update(one => [sign(plain(one), one)]);
    assert.ok(asked);
    const { bytes } = asked;
    assert.equal(
      bytes.subarray(2, 12).toString('hex'),
      `2800${'0001'}${'0000'}${'0001'}${'0001'}`,
      'an update of one zone, one change, and a signature',
    );
    const zone = Buffer.concat([nameOf('example', 'org'), hex('0006 0001')]);
    const record = Buffer.concat([
      nameOf('_acme-challenge', 'example', 'org'),
      hex('0010 0001 0000003c 0006 05'),
      Buffer.from('proof'),
    ]);
    assert.ok(
      bytes
        .subarray(12)
        .toString('hex')
        .startsWith(Buffer.concat([zone, record]).toString('hex')),
    );
    const unsigned = Buffer.concat([bytes.subarray(0, 12), zone, record]);
    unsigned.writeUInt16BE(0, 10);
    const variables = [
      nameOf('acme'),
      hex('00ff 00000000'),
      nameOf('hmac-sha256'),
      number(now, 6),
      hex('012c 0000 0000'),
    ];
    const mac = createHmac('sha256', secret)
      .update(Buffer.concat([unsigned, ...variables]))
      .digest();
    assert.deepEqual(macOf(asked), mac);
  });

  test('is believed when the answer is signed within the fudge', async () => {
    for (const apart of [-299, 0, 299]) await update(one => [sign(plain(one), one, { time: now + apart })]);
  });

  test("is believed when the answer compresses the key's name", async () => {
    const long = { ...key, name: 'acme.example.org' };
    const withZone = (one: Asked) => {
      const head = plain(one);
      head.writeUInt16BE(1, 4);
      return Buffer.concat([head, nameOf('example', 'org'), hex('0006 0001')]);
    };
    const own = { key: 'acme.example.org' };
    const owner = Buffer.concat([hex('04'), Buffer.from('acme'), hex('c00c')]);
    await update(one => [sign(withZone(one), one, { ...own, owner })], { key: long });
    const circle = Buffer.concat([hex('04'), Buffer.from('acme'), number(0xc000 + 12 + 17, 2)]);
    const told = await failure(one => [sign(withZone(one), one, { ...own, owner: circle })], { key: long });
    assert.equal(told, 'unavailable: DNS server ns: its answer is damaged');
  });

  test('is not signed, and neither the answer, where there is no key', async () => {
    const [asked] = await update(one => [plain(one)], { key: undefined });
    assert.equal(asked?.bytes.readUInt16BE(10), 0);
  });

  const flip = (mac: Buffer) => Buffer.from(mac).fill((mac[31] ?? 0) ^ 1, 31);
  const wrong: [what: string, script: Script, told: string][] = [
    ['without a signature', one => [plain(one)], 'its answer is not signed'],
    ['of a wrong MAC', one => [sign(plain(one), one, { mac: flip })], 'its answer is signed wrongly'],
    [
      'of no MAC',
      one => [sign(plain(one), one, { mac: () => Buffer.alloc(0) })],
      'its answer is signed wrongly',
    ],
    [
      'of a shortened MAC',
      one => [sign(plain(one), one, { mac: m => m.subarray(0, 16) })],
      'its answer is signed wrongly',
    ],
    [
      'of another secret',
      one => [sign(plain(one), one, { secret: Buffer.alloc(32, 8) })],
      'its answer is signed wrongly',
    ],
    [
      'to another request',
      one => [sign(plain(one), one, { requestMac: Buffer.alloc(32) })],
      'its answer is signed wrongly',
    ],
    [
      'of another key',
      one => [sign(plain(one), one, { key: 'other' })],
      'its answer is signed with another key',
    ],
    [
      'of another algorithm',
      one => [sign(plain(one), one, { algorithm: 'hmac-sha1' })],
      'its answer is signed with another key',
    ],
    ['changed on its way', one => [changed(sign(plain(one, 5), one))], 'its answer is signed wrongly'],
    [
      'signed too long ago',
      one => [sign(plain(one), one, { time: now - 301 })],
      'its answer was signed 301 seconds from now',
    ],
    [
      'signed with a fudge of days',
      one => [sign(plain(one), one, { time: now + 9999, fudge: 65_535 })],
      'its answer was signed 9999 seconds from now',
    ],
    [
      'whose signature is not at its end',
      one => [Buffer.concat([sign(plain(one), one), hex('00')])],
      'its answer is damaged',
    ],
    ['that is cut off', one => [sign(plain(one), one).subarray(0, -3)], 'its answer is damaged'],
    ['with two signatures', one => [sign(sign(plain(one), one), one)], 'its answer is damaged'],
    [
      'with another id',
      one => [sign(otherId(plain(one)), one)],
      'its answer is damaged, or to another message',
    ],
    ['that is too short', () => [hex('00')], 'its answer is damaged'],
    ['that is empty', () => [hex('')], 'its answer is damaged'],
  ];
  const changed = (message: Buffer) =>
    Buffer.concat([message.subarray(0, 3), hex('00'), message.subarray(4)]);
  const otherId = (message: Buffer) =>
    Buffer.concat([number(message.readUInt16BE(0) ^ 1, 2), message.subarray(2)]);
  for (const [what, script, told] of wrong) {
    test(`is not believed by an answer ${what}`, async () => {
      assert.equal(await failure(script), `unavailable: DNS server ns: ${told}`);
    });
  }

  const refused: [what: string, script: Script, told: string][] = [
    [
      'an unsigned REFUSED',
      one => [plain(one, 5)],
      'REFUSED for _acme-challenge.example.org: the key may not update this name',
    ],
    [
      'a signed REFUSED',
      one => [sign(plain(one, 5), one)],
      'REFUSED for _acme-challenge.example.org: the key may not update this name',
    ],
    [
      'NOTZONE',
      one => [sign(plain(one, 10), one)],
      'NOTZONE for _acme-challenge.example.org: the name does not lie in the zone example.org',
    ],
    ['NOTIMP', one => [plain(one, 4)], 'NOTIMP for _acme-challenge.example.org: it takes no updates'],
    ['FORMERR', one => [plain(one, 1)], 'FORMERR for _acme-challenge.example.org: it cannot read the update'],
    [
      'NOTAUTH',
      one => [sign(plain(one, 9), one)],
      'NOTAUTH for _acme-challenge.example.org: it is not authoritative for the zone example.org, or does not take the key for it',
    ],
    [
      'YXRRSET',
      one => [sign(plain(one, 7), one)],
      'YXRRSET for _acme-challenge.example.org: it does not make the update',
    ],
    [
      'BADKEY',
      one => [sign(plain(one, 9), one, { error: 17, mac: () => hex('') })],
      'NOTAUTH (BADKEY): it does not know the key acme with hmac-sha256, or not for this name',
    ],
    [
      'BADSIG',
      one => [sign(plain(one, 9), one, { error: 16, mac: () => hex('') })],
      'NOTAUTH (BADSIG): its secret of the key acme is another one',
    ],
    [
      'BADTRUNC',
      one => [sign(plain(one, 9), one, { error: 22 })],
      'NOTAUTH (BADTRUNC): it takes only longer signatures',
    ],
    [
      'BADTIME',
      one => [sign(plain(one, 9), one, { error: 18, other: number(now - 600, 6) })],
      'NOTAUTH (BADTIME): its clock is 600 seconds behind that of this machine',
    ],
    [
      'BADTIME without a time',
      one => [sign(plain(one, 9), one, { error: 18 })],
      'NOTAUTH (BADTIME): its clock and that of this machine differ',
    ],
  ];
  for (const [what, script, told] of refused) {
    test(`tells ${what} in words`, async () => {
      assert.equal(await failure(script), `misconfigured: DNS server ns: ${told}`);
    });
  }

  test('takes SERVFAIL for a failure that may pass', async () => {
    assert.match(
      await failure(one => [sign(plain(one, 2), one)]),
      /^unavailable: DNS server ns: SERVFAIL for/,
    );
  });

  test('survives any damage to a signed answer', async () => {
    let seed = 1;
    const random = (below: number) => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed % below;
    };
    await using scripted = await startScriptedDns(one => {
      const message = sign(plain(one), one);
      for (let times = random(4); times >= 0; times--) message[random(message.length)] = random(256);
      return [message.subarray(0, random(3) === 0 ? random(message.length) : message.length)];
    });
    const peer = { server: scripted.server, timeout: 2_000, key, clock: turnedClock(now * 1000) };
    const change = { do: 'delete', name: '_acme-challenge.example.org', value: 'proof', ttl: 60 } as const;
    for (let times = 0; times < 500; times++) {
      const error = await updateTxt(peer, 'example.org', change, signal).then(
        () => undefined,
        error => error,
      );
      assert.ok(error === undefined || error.name === 'IssuanceError', error?.stack);
    }
  });
});

test('askingPeer() tells what PowerDNS answers to a signature that it does not take', async () => {
  await using scripted = await startScriptedDns(one => [reply(one, [], { rcode: 9 })]);
  const peer = { server: scripted.server, timeout: 2_000, key, clock: turnedClock(now * 1000) };
  await assert.rejects(askingPeer(peer)('a.example.org', 'SOA', signal), {
    code: 'misconfigured',
    message:
      /: NOTAUTH: it does not know the key acme with hmac-sha256, or has another secret or another time$/,
  });
});

test('updateTxt() deletes one value alone, by class NONE', async () => {
  await using scripted = await startScriptedDns(one => [plain(one)]);
  const peer = { server: scripted.server, timeout: 2_000, clock: turnedClock(now * 1000) };
  const change = { do: 'delete', name: 'a.example.org', value: 'proof', ttl: 60 } as const;
  await updateTxt(peer, 'example.org', change, signal);
  const record = Buffer.concat([
    nameOf('a', 'example', 'org'),
    hex('0010 00fe 00000000 0006 05'),
    Buffer.from('proof'),
  ]);
  assert.ok(scripted.asked[0]?.bytes.toString('hex').endsWith(record.toString('hex')));
});
