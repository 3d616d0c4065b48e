import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { suite, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { type Answer, decode, TRUNCATED_RESPONSE } from 'dns-packet';
import { systemClock } from '../../../shared/base/basics.ts';
import { type Ask, asking, askingFirst, askingPeer } from '../../../shared/dns/query.ts';
import { freePort } from '../../support/free-port.ts';
import { reply, type Script, startScriptedDns } from '../../support/scripted-dns.ts';

const { signal } = new AbortController();
const txt = (value: string, name = 'a.example.org'): Answer => ({ type: 'TXT', name, data: [value] });
const options = { recursive: false, timeout: 4_000 };

/** Asks a server with this script for the TXT records of a.example.org. */
async function ask(script: Script, more: Partial<typeof options> = {}) {
  await using scripted = await startScriptedDns(script);
  const { answers, rcode } = await asking(scripted.server, { ...options, ...more })(
    'a.example.org',
    'TXT',
    signal,
  );
  return { rcode, values: answers.map(record => 'value' in record && record.value), asked: scripted.asked };
}

suite('asking()', () => {
  test('asks over UDP and reads the answer, whatever the case of its names', async () => {
    const { values, asked } = await ask(one => [reply(one, [txt('proof', 'A.Example.ORG')])]);
    assert.deepEqual(values, ['proof']);
    assert.deepEqual(
      asked.map(({ over, flag_rd }) => ({ over, flag_rd })),
      [{ over: 'udp', flag_rd: false }],
    );
  });

  test('asks for recursion where it is wanted', async () => {
    const { asked } = await ask(one => [reply(one, [])], { recursive: true });
    assert.equal(asked[0]?.flag_rd, true);
  });

  test('asks again over TCP where the answer does not fit into a datagram', async () => {
    const long = 'x'.repeat(255);
    const { values, asked } = await ask(one =>
      one.over === 'udp'
        ? [reply(one, [], { flags: TRUNCATED_RESPONSE })]
        : [reply(one, [txt(long), txt(long)])],
    );
    assert.deepEqual(values, [long, long]);
    assert.deepEqual(
      asked.map(({ over }) => over),
      ['udp', 'tcp'],
    );
  });

  test('joins the strings of a record', async () => {
    const { values } = await ask(one => [reply(one, [{ ...txt(''), data: ['pro', 'of'] } as Answer])]);
    assert.deepEqual(values, ['proof']);
  });

  test('sends again where a datagram is lost', async () => {
    let count = 0;
    const { values } = await ask(one => (++count === 1 ? [] : [reply(one, [txt('proof')])]), {
      timeout: 1_500,
    });
    assert.deepEqual(values, ['proof']);
  });

  test('never uses an id twice in a row, and takes them at random', async () => {
    await using scripted = await startScriptedDns(one => [reply(one, [])]);
    const look = asking(scripted.server, options);
    for (let n = 0; n < 20; n++) await look('a.example.org', 'TXT', signal);
    const ids = scripted.asked.map(({ id }) => id ?? 0);
    assert.ok(new Set(ids).size > 15, `${ids}`);
  });

  const forged: [string, Script][] = [
    ['with another id', one => [reply({ ...one, id: ((one.id ?? 0) + 1) % 65_536 }, [txt('forged')])]],
    [
      'to another name',
      one => [reply(one, [txt('forged')], { questions: [{ type: 'TXT', name: 'b.example.org' }] })],
    ],
    [
      'to another type',
      one => [reply(one, [txt('forged')], { questions: [{ type: 'A', name: 'a.example.org' }] })],
    ],
    ['without a question', one => [reply(one, [txt('forged')], { questions: [] })]],
    ['that is a question', one => [reply(one, [txt('forged')], { type: 'query' })]],
    ['that is no DNS message', () => [Buffer.from('x'), Buffer.alloc(0), Buffer.alloc(12, 255)]],
    ['that is cut off', one => [reply(one, [txt('forged')]).subarray(0, -4)]],
    [
      'whose names lead in a circle',
      one => [Buffer.concat([reply(one, [txt('x')]).subarray(0, 31), circle])],
    ],
  ];
  const circle = Buffer.from('c01fc01f', 'hex');
  for (const [what, script] of forged) {
    test(`passes over a datagram ${what}, and waits for the answer`, async () => {
      const { values } = await ask(one => [...script(one), reply(one, [txt('proof')])]);
      assert.deepEqual(values, ['proof']);
    });

    test(`refuses an answer over TCP ${what}`, async () => {
      const tcp: Script = one =>
        one.over === 'udp' ? [reply(one, [], { flags: TRUNCATED_RESPONSE })] : script(one);
      await assert.rejects(ask(tcp, { timeout: 1_000 }), { name: 'IssuanceError', code: 'unavailable' });
    });
  }

  test('refuses an answer over TCP that is too long', async () => {
    const long = Array.from({ length: 200 }, () => txt('x'.repeat(255)));
    const tcp: Script = one => [
      one.over === 'udp' ? reply(one, [], { flags: TRUNCATED_RESPONSE }) : reply(one, long),
    ];
    await assert.rejects(ask(tcp), /its answer of \d+ bytes is too long$/);
  });

  test('reads an answer over TCP that comes byte by byte', async () => {
    const slow = createServer(socket => {
      socket.setNoDelay().on('data', async chunk => {
        const message = reply({ ...decode(chunk.subarray(2)), over: 'tcp', bytes: chunk }, [txt('proof')]);
        for (const byte of [0, message.length, ...message]) {
          socket.write(Buffer.from([byte]));
          await setImmediate();
        }
      });
    }).listen(0, '127.0.0.1');
    await once(slow, 'listening');
    const { port: slowPort } = slow.address() as AddressInfo;
    const peer = { server: { host: '127.0.0.1', port: slowPort }, timeout: 4_000, clock: systemClock };
    const { answers } = await askingPeer(peer)('a.example.org', 'TXT', signal);
    assert.equal(answers.length, 1);
    slow.close();
    await once(slow, 'close');
  });

  test('asks a server over IPv6, and one by its name', async () => {
    const script: Script = one =>
      one.over === 'udp' ? [reply(one, [], { flags: TRUNCATED_RESPONSE })] : [reply(one, [txt('proof')])];
    await using v6 = await startScriptedDns(script, { host: '::1' });
    await using v4 = await startScriptedDns(script);
    for (const server of [v6.server, { ...v4.server, host: 'localhost' }]) {
      assert.equal((await asking(server, options)('a.example.org', 'TXT', signal)).answers.length, 1);
    }
  });

  test('tells a name that is not there from a failure', async () => {
    const { rcode, values } = await ask(one => [reply(one, [], { rcode: 3 })]);
    assert.deepEqual([rcode, values], ['NXDOMAIN', []]);
    await assert.rejects(
      ask(one => [reply(one, [], { rcode: 2 })]),
      {
        name: 'IssuanceError',
        code: 'unavailable',
        message: /^DNS server 127.*: SERVFAIL for a\.example\.org TXT$/,
      },
    );
  });

  test('gives up after its time, naming the server', async () => {
    await assert.rejects(
      ask(() => [], { timeout: 300 }),
      {
        name: 'IssuanceError',
        code: 'unavailable',
        message: /^DNS server 127.*: no answer within 0\.3 seconds$/,
      },
    );
  });

  test('tells that nobody listens', async () => {
    const server = { host: '127.0.0.1', port: await freePort() };
    await assert.rejects(asking(server, options)('a.example.org', 'TXT', signal), {
      code: 'unavailable',
      message: /^DNS server 127\.0\.0\.1:\d+: .*ECONNREFUSED/,
    });
  });

  test('ends with its signal', async () => {
    const leaving = new AbortController();
    await using scripted = await startScriptedDns(() => {
      leaving.abort(new Error('enough'));
      return [];
    });
    await assert.rejects(
      asking(scripted.server, options)('a.example.org', 'TXT', leaving.signal),
      /^Error: enough$/,
    );
    await assert.rejects(
      asking(scripted.server, options)('a.example.org', 'TXT', leaving.signal),
      /^Error: enough$/,
    );
  });
});

test('askingFirst() asks the next where one cannot answer, and tells the last failure', async () => {
  await using good = await startScriptedDns(one => [reply(one, [txt('proof')])]);
  const away = asking({ host: '127.0.0.1', port: await freePort() }, options);
  const both = askingFirst([away, asking(good.server, options)]);
  assert.equal((await both('a.example.org', 'TXT', signal)).answers.length, 1);
  await assert.rejects(askingFirst([away, away])('a.example.org', 'TXT', signal), { code: 'unavailable' });
  const never: Ask = () => assert.fail('was asked');
  await assert.rejects(askingFirst([never])('a.example.org', 'TXT', AbortSignal.abort(new Error('enough'))));
});
