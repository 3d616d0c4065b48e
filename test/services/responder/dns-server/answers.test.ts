import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { AUTHENTIC_DATA, CHECKING_DISABLED, RECURSION_DESIRED } from 'dns-packet';
import {
  type DecodedReply,
  decodeReply,
  edns,
  framed,
  newQuery,
  openDnsServer,
  zone,
} from './open-dns-server.ts';

const many = Array.from({ length: 40 }, (_, n) => `${n}`.padStart(43, 'v'));
const values = {
  'www.acme.example.org': ['first', 'second'],
  'a.b.acme.example.org': ['deep'],
  'many.acme.example.org': many,
};
const server = await openDnsServer([zone], { values });
after(() => server[Symbol.asyncDispose]());

type Loose = { type: string; name: string; ttl: number; data: unknown };

const toText = (data: unknown) =>
  Array.isArray(data) ? data.join(' ') : typeof data === 'object' ? JSON.stringify(data) : `${data}`;

const shown = (records: unknown) =>
  (records as Loose[]).map(({ name, ttl, type, data }) => `${name} ${ttl} ${type} ${toText(data)}`);

const soa =
  'SOA {"mname":"ns1.acme.example.org","rname":"admin.example.org","serial":1,"refresh":3600,"retry":600,"expire":604800,"minimum":7}';
const absence = [`acme.example.org 7 ${soa}`];

const sections = ({ rcode, answers, authorities }: DecodedReply) => [
  rcode,
  shown(answers),
  shown(authorities),
];

const txt = (name: string, ...texts: string[]) => texts.map(text => `${name} 7 TXT ${text}`);

/** [what, name, type, response code, answers, authorities] */
const questions: [string, string, string, string, string[], string[]][] = [
  [
    'TXT, all its values',
    'www.acme.example.org',
    'TXT',
    'NOERROR',
    txt('www.acme.example.org', 'first', 'second'),
    [],
  ],
  ['a type that the name lacks', 'www.acme.example.org', 'A', 'NOERROR', [], absence],
  ['a name that is not there', 'none.acme.example.org', 'TXT', 'NXDOMAIN', [], absence],
  ['a name that only has others below it', 'b.acme.example.org', 'TXT', 'NOERROR', [], absence],
  ['the SOA of the zone', 'acme.example.org', 'SOA', 'NOERROR', [`acme.example.org 3600 ${soa}`], []],
  [
    ...(['the name servers of the zone', 'acme.example.org', 'NS', 'NOERROR'] as const),
    ['ns1.acme.example.org', 'ns2.example.net'].map(name => `acme.example.org 3600 NS ${name}`),
    [],
  ],
  ['TXT of the zone itself', 'acme.example.org', 'TXT', 'NOERROR', [], absence],
  [
    ...(['the address of a name server inside', 'ns1.acme.example.org', 'A', 'NOERROR'] as const),
    ['ns1.acme.example.org 3600 A 192.0.2.53'],
    [],
  ],
  [
    ...(['its IPv6 address', 'ns1.acme.example.org', 'AAAA', 'NOERROR'] as const),
    ['ns1.acme.example.org 3600 AAAA 2001:db8::53'],
    [],
  ],
  ['TXT of a name server inside', 'ns1.acme.example.org', 'TXT', 'NOERROR', [], absence],
  [
    ...(['ANY, as little as possible', 'www.acme.example.org', 'ANY', 'NOERROR'] as const),
    ['www.acme.example.org 3600 HINFO {"cpu":"RFC8482","os":""}'],
    [],
  ],
  ['ANY of a name that is not there', 'none.acme.example.org', 'ANY', 'NXDOMAIN', [], absence],
  ['a name above the zone', 'example.org', 'SOA', 'REFUSED', [], []],
  ['a name beside the zone', 'badacme.example.org', 'TXT', 'REFUSED', [], []],
  ['the root', '.', 'NS', 'REFUSED', [], []],
  ['a transfer', 'acme.example.org', 'AXFR', 'REFUSED', [], []],
  ['an incremental transfer', 'acme.example.org', 'IXFR', 'REFUSED', [], []],
];

for (const [what, name, type, ...expected] of questions)
  test(`the DNS responder answers ${what}, over UDP and TCP`, async () => {
    assert.deepEqual(sections(await server.ask(name, type)), expected);
    const [overTcp] = await server.tcp(framed(newQuery(name, type)));
    assert.deepEqual(overTcp && sections(decodeReply(overTcp)), expected);
  });

test('the DNS responder is authoritative for its zones, for no others, and never recursive', async () => {
  const inside = await server.ask('none.acme.example.org', 'TXT', {
    flags: RECURSION_DESIRED | AUTHENTIC_DATA,
  });
  assert.deepEqual(
    [inside.flag_aa, inside.flag_rd, inside.flag_ra, inside.flag_ad],
    [true, true, false, false],
  );
  const outside = await server.ask('example.org', 'TXT', { flags: CHECKING_DISABLED });
  assert.deepEqual(
    [outside.flag_aa, outside.flag_rd, outside.flag_ra, outside.flag_cd],
    [false, false, false, true],
  );
});

test('the DNS responder repeats the question byte by byte, so that its case is kept', async () => {
  const query = newQuery('wWw.aCmE.eXaMpLe.oRg', 'TXT');
  const reply = await server.udp(query);
  assert.deepEqual(reply.subarray(12, query.length), query.subarray(12));
  assert.deepEqual(shown(decodeReply(reply).answers), txt('wWw.aCmE.eXaMpLe.oRg', 'first', 'second'));
  const absent = decodeReply(await server.udp(newQuery('nOnE.aCmE.eXaMpLe.oRg', 'TXT')));
  assert.deepEqual(shown(absent.authorities), [`aCmE.eXaMpLe.oRg 7 ${soa}`]);
});

test('the DNS responder looks for no name that nobody can have put, and takes no dot in a label for its end', async () => {
  for (const label of ['www.acme', 'w\0w', 'w w', 'wéw', '*']) {
    const name = Buffer.from(label, 'latin1');
    const query = Buffer.concat([
      newQuery('', 'TXT').subarray(0, 12),
      Buffer.from([name.length]),
      name,
      newQuery(label === 'www.acme' ? 'example.org' : 'acme.example.org', 'TXT').subarray(12),
    ]);
    const before = server.asked.length;
    const reply = await server.udp(query);
    const { rcode } = decodeReply(reply);
    assert.equal(rcode, label === 'www.acme' ? 'REFUSED' : 'NXDOMAIN', label);
    assert.deepEqual(reply.subarray(12, query.length), query.subarray(12));
    assert.equal(server.asked.length, before);
  }
});

test('the DNS responder refuses other classes than IN', async () => {
  for (const name of ['CH', 'HS']) {
    const questions = [{ name: 'acme.example.org', type: 'SOA' as const, class: name as 'CH' }];
    assert.equal((await server.ask('', 'SOA', { questions })).rcode, 'REFUSED');
  }
});

test('the DNS responder tells by EDNS what it takes, and no more than it was asked with', async () => {
  const plain = await server.ask('www.acme.example.org', 'TXT');
  assert.deepEqual(plain.additionals, []);
  const [opt, ...others] =
    (await server.ask('www.acme.example.org', 'TXT', edns(4096, { flags: 0x8000 }))).additionals ?? [];
  assert.ok(opt?.type === 'OPT' && others.length === 0);
  assert.deepEqual([opt.udpPayloadSize, opt.ednsVersion, opt.flag_do, opt.options], [1232, 0, true, []]);
});

test('the DNS responder answers BADVERS to later versions of EDNS', async () => {
  const reply = await server.ask('www.acme.example.org', 'TXT', edns(1232, { ednsVersion: 1 }));
  const [opt] = reply.additionals ?? [];
  assert.ok(opt?.type === 'OPT');
  assert.deepEqual([reply.rcode, opt.extendedRcode, opt.ednsVersion, reply.answers], ['NOERROR', 1, 0, []]);
});

test('the DNS responder truncates what is longer than 512 bytes, or than EDNS allows, and gives all of it over TCP', async () => {
  const query = newQuery('many.acme.example.org', 'TXT');
  for (const more of [{}, edns(100), edns(1232), edns(65_535)]) {
    const reply = await server.udp(newQuery('many.acme.example.org', 'TXT', more));
    const { flag_tc, answers } = decodeReply(reply);
    assert.deepEqual([flag_tc, answers], [true, []]);
    assert.ok(reply.length <= query.length + 11);
  }
  const [whole] = await server.tcp(framed(query));
  assert.ok(whole);
  assert.deepEqual(shown(decodeReply(whole).answers), txt('many.acme.example.org', ...many));
  assert.equal(decodeReply(whole).flag_tc, false);
});

test('the DNS responder fits twenty values into a datagram of the usual size', async () => {
  await using own = await openDnsServer([zone], { values: { 'x.acme.example.org': many.slice(0, 20) } });
  const { flag_tc, answers } = await own.ask('x.acme.example.org', 'TXT', edns(1232));
  assert.deepEqual([flag_tc, answers?.length], [false, 20]);
});

test('the DNS responder answers from the lowest of its zones, and knows the ones below', async () => {
  const inner = { ...zone, zones: ['x.y.acme.example.org'], nameServers: [], hostmaster: undefined, ttl: 3 };
  await using own = await openDnsServer([zone, inner]);
  const below = await own.ask('n.x.y.acme.example.org', 'TXT');
  assert.match(
    shown(below.authorities)[0] ?? '',
    /^x\.y\.acme\.example\.org 3 SOA .*"hostmaster\.x\.y\.acme\.example\.org"/,
  );
  assert.deepEqual(sections(await own.ask('y.acme.example.org', 'TXT')), ['NOERROR', [], absence]);
  assert.equal((await own.ask('x.y.acme.example.org', 'NS')).rcode, 'NOERROR');
});

test('the DNS responder without zones answers for every _acme-challenge name, each a zone of its own', async () => {
  const open = {
    ...zone,
    zones: [],
    nameServers: [{ name: 'ns1.example.net', addresses: [] }],
    hostmaster: undefined,
  };
  await using own = await openDnsServer([open], { values: { '_acme-challenge.example.com': ['v'] } });
  const asked = async (name: string, type: string) => sections(await own.ask(name, type));
  const name = '_acme-challenge.example.com';
  assert.deepEqual(await asked(name, 'TXT'), ['NOERROR', [`${name} 7 TXT v`], []]);
  assert.deepEqual(await asked(name, 'NS'), ['NOERROR', [`${name} 3600 NS ns1.example.net`], []]);
  assert.match(
    `${(await asked(`x.${name}`, 'TXT'))[2]}`,
    new RegExp(`^${name} 7 SOA .*"ns1\\.example\\.net"`),
  );
  for (const other of ['example.com', '_acme-challenge', 'x_acme-challenge.example.com'])
    assert.deepEqual(await asked(other, 'TXT'), ['REFUSED', [], []]);
});

test('the DNS responder answers SERVFAIL where it stumbles, says so in its log, and answers the questions beside', async () => {
  const damaged = {
    'x.acme.example.org': [undefined as unknown as string],
    'long.acme.example.org': ['v'.repeat(256)],
  };
  await using own = await openDnsServer([zone], { values: { ...values, ...damaged } });
  const questions = ['x', 'www', 'long'].map(label => newQuery(`${label}.acme.example.org`, 'TXT'));
  const replies = (await own.tcp(framed(...questions), 3)).map(decodeReply);
  assert.deepEqual(replies.map(({ rcode }) => rcode).sort(), ['NOERROR', 'SERVFAIL', 'SERVFAIL']);
  assert.equal(own.log.lines.filter(({ msg }) => msg === 'a question was not answered').length, 2);
});

test('the DNS responder answers SERVFAIL while Redis is away, and says why in its log', async () => {
  await using own = await openDnsServer([zone], { fault: new Error('connect ECONNREFUSED') });
  assert.deepEqual(sections(await own.ask('www.acme.example.org', 'TXT')), ['SERVFAIL', [], []]);
  assert.match(own.log.text(), /"reason":"connect ECONNREFUSED"/);
  assert.equal((await own.ask('acme.example.org', 'NS')).rcode, 'NOERROR');
});

test('the DNS responder counts its answers', async () => {
  await using own = await openDnsServer([zone], { values });
  for (const name of ['www.acme.example.org', 'www.acme.example.org', 'example.org'])
    await own.ask(name, 'TXT');
  await own.tcp(framed(newQuery('none.acme.example.org', 'TXT')));
  for (const look of ['first', 'second']) {
    const figures = await own.metrics.metrics();
    assert.match(figures, /quarry_responder_dns_answers_total\{rcode="NOERROR",transport="udp"\} 2/, look);
    assert.match(figures, /quarry_responder_dns_answers_total\{rcode="REFUSED",transport="udp"\} 1/, look);
    assert.match(figures, /quarry_responder_dns_answers_total\{rcode="NXDOMAIN",transport="tcp"\} 1/, look);
  }
});

test('the DNS responder answers on IPv6', async () => {
  await using own = await openDnsServer([zone], { values, host: '::1' });
  assert.equal((await own.ask('www.acme.example.org', 'TXT')).answers?.length, 2);
});
