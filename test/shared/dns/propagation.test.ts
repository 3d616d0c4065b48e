import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { AUTHORITATIVE_ANSWER } from 'dns-packet';
import { findUnshown } from '../../../shared/dns/propagation.ts';
import { freePort } from '../../support/free-port.ts';
import { reply, type Script, startScriptedDns } from '../../support/scripted-dns.ts';

const { signal } = new AbortController();
const record = { name: '_acme-challenge.example.org', value: 'proof' };
const flags = AUTHORITATIVE_ANSWER;
const showing =
  (...values: string[]): Script =>
  one => [
    reply(
      one,
      values.map(value => ({ type: 'TXT', name: record.name, data: value })),
      { flags },
    ),
  ];

const find = (servers: Parameters<typeof findUnshown>[1]) => findUnshown(record, servers, 1_000, signal);

suite('findUnshown()', () => {
  test('is content when every server shows the value, also among others', async () => {
    await using one = await startScriptedDns(showing('proof'));
    await using two = await startScriptedDns(showing('another', 'proof'));
    assert.equal(
      await find([{ name: 'ns1', addresses: [one.server, two.server] }, { addresses: [two.server] }]),
      undefined,
    );
  });

  test('names the server that does not show it', async () => {
    await using one = await startScriptedDns(showing('proof'));
    await using two = await startScriptedDns(showing('another'));
    const told = await find([
      { name: 'ns1', addresses: [one.server] },
      { name: 'ns2', addresses: [one.server, two.server] },
    ]);
    assert.equal(
      told,
      `name server ns2: 127.0.0.1:${two.server.port} does not show the new record of ${record.name} yet`,
    );
  });

  test('does not take a record of another name for it', async () => {
    await using one = await startScriptedDns(asked => [
      reply(asked, [{ type: 'TXT', name: 'b.example', data: 'proof' }], { flags }),
    ]);
    assert.match(`${await find([{ addresses: [one.server] }])}`, /does not show/);
  });

  test('tells a server that is not authoritative', async () => {
    await using one = await startScriptedDns(asked => [reply(asked, [], { rcode: 5 })]);
    assert.equal(
      await find([{ addresses: [one.server] }]),
      `127.0.0.1:${one.server.port} is not authoritative for ${record.name} (REFUSED)`,
    );
  });

  test('tells a server that does not answer, and one without an address', async () => {
    const away = { host: '127.0.0.1', port: await freePort() };
    assert.match(
      `${await find([{ name: 'ns1', addresses: [away] }])}`,
      /^name server ns1: DNS server .*ECONNREFUSED/,
    );
    assert.equal(await find([{ name: 'ns1', addresses: [] }]), 'no address of the name server ns1 is known');
  });

  test('passes over an address that this machine cannot reach, where another tells', async () => {
    await using one = await startScriptedDns(showing('proof'));
    const nowhere = { host: '255.255.255.255', port: 53 }; // a broadcast, which a socket may not send
    const far = { host: 'fe80::1%nowhere', port: 53 };
    assert.equal(await find([{ name: 'ns1', addresses: [one.server, far] }]), undefined);
    assert.match(`${await find([{ name: 'ns1', addresses: [far] }])}`, /^name server ns1: DNS server/);
    assert.match(
      `${await find([{ name: 'ns1', addresses: [one.server, nowhere] }])}`,
      /^name server ns1: DNS server 255/,
    );
  });
});
