import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openRateLimit, type Verdict } from '../../../../services/responder/dns-server/rate-limit.ts';
import { turnedClock } from '../../../support/turned-clock.ts';
import { decodeReply, framed, newQuery, openDnsServer, zone } from './open-dns-server.ts';

function count(verdictOn: (address: string) => Verdict, address: string, times: number) {
  const counts = { answer: 0, truncate: 0, drop: 0 };
  for (let index = 0; index < times; index++) counts[verdictOn(address)]++;
  return counts;
}

test('openRateLimit() lets a network have so many answers a second, and of the rest tells every second to come over TCP', () => {
  const clock = turnedClock(0);
  const verdictOn = openRateLimit(10, clock);
  assert.deepEqual(count(verdictOn, '192.0.2.1', 30), { answer: 10, truncate: 10, drop: 10 });
  clock.turn(500);
  assert.deepEqual(count(verdictOn, '192.0.2.1', 9), { answer: 5, truncate: 2, drop: 2 });
  clock.turn(60_000);
  assert.equal(count(verdictOn, '192.0.2.1', 30).answer, 10);
  clock.turn(-60_000);
  assert.equal(count(verdictOn, '192.0.2.1', 30).answer, 0);
});

for (const [one, same, other] of [
  ['192.0.2.1', '192.0.2.254', '192.0.3.1'],
  ['2001:db8:0:1200::1', '2001:db8:0:12ff:ffff::1', '2001:db8:0:1300::1'],
  ['fe80::1%eth0', 'fe80::2', 'fe80:0:0:100::1'],
] as const)
  test(`openRateLimit() counts ${same} with ${one}, and ${other} apart`, () => {
    const verdictOn = openRateLimit(5, turnedClock(0));
    assert.equal(count(verdictOn, one, 5).answer, 5);
    assert.equal(count(verdictOn, same, 5).answer, 0);
    assert.equal(count(verdictOn, other, 5).answer, 5);
  });

test('the DNS responder limits answers over UDP, says so in its figures, and answers on over TCP', async () => {
  await using server = await openDnsServer([{ ...zone, rateLimit: 3 }]);
  const query = newQuery('acme.example.org', 'SOA');
  let reply = decodeReply(await server.udp(query));
  for (let asked = 1; asked <= 30 && !reply.flag_tc; asked++) reply = decodeReply(await server.udp(query));
  assert.deepEqual([reply.flag_tc, reply.rcode, reply.answers], [true, 'NOERROR', []]);
  const [overTcp] = await server.tcp(framed(query));
  assert.equal(overTcp && decodeReply(overTcp).answers?.length, 1);
  assert.match(await server.metrics.metrics(), /quarry_responder_dns_limited_total\{how="truncated"\} [1-9]/);
});
