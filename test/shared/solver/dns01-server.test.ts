import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DnsMessage } from '../../../shared/dns/message.ts';
import type { Ask } from '../../../shared/dns/query.ts';
import { findPlace } from '../../../shared/solver/dns01-server.ts';
import { account, auth, loadText, refusal } from '../setup/load-text.ts';

const block = (type: string, ...lines: string[]) =>
  `${account + auth}[verification "v"]\ntype = ${type}\n${lines.join('\n')}\n`;
const dns = (...lines: string[]) => block('dns01-server', ...lines);

const load = async (text: string) => {
  const { verifications, warnings } = await loadText(text);
  return { block: verifications.get('v'), warnings };
};

test('loadConfig() takes zones for the responders to answer for', async () => {
  const text = dns(
    'listener = 192.0.2.53:53',
    'listeners = [2001:db8::53]:53',
    'zone = ACME.Example.org.',
    'zone = _acme-challenge.example.com',
    'ns = ns1.acme.example.org 192.0.2.53 2001:db8::53',
    'ns = ns2.example.net',
    'hostmaster = admin@example.org',
    'ttl = 5',
    'rate-limit = 50',
    'resolver = 192.0.2.1',
    'resolver = [2001:db8::1]:5353',
  );
  const { block, warnings } = await load(text);
  assert.deepEqual(warnings, []);
  assert.deepEqual(block, {
    name: 'v',
    type: 'dns01-server',
    challenge: 'dns-01',
    listeners: [
      { host: '192.0.2.53', port: 53, explicit: true },
      { host: '2001:db8::53', port: 53, explicit: true },
    ],
    zones: ['acme.example.org', '_acme-challenge.example.com'],
    nameServers: [
      { name: 'ns1.acme.example.org', addresses: ['192.0.2.53', '2001:db8::53'] },
      { name: 'ns2.example.net', addresses: [] },
    ],
    hostmaster: 'admin.example.org',
    ttl: 5,
    rateLimit: 50,
    resolvers: [
      { host: '192.0.2.1', port: 53 },
      { host: '2001:db8::1', port: 5353 },
    ],
  });
});

test("loadConfig() takes macen's dns01-server block, and warns that it names no name server", async () => {
  const { block, warnings } = await load(dns('listeners = 127.0.0.1:5053'));
  assert.ok(block?.type === 'dns01-server');
  assert.deepEqual([block.zones, block.nameServers, block.ttl, block.rateLimit], [[], [], 0, 200]);
  assert.match(
    warnings.join('\n'),
    /^main\.ini:\d+: \[verification "v"\] ns: is missing; some resolvers mind/,
  );
});

test('loadConfig() lets the zones of the responders have one name server each on port 53 by default, and no limit', async () => {
  const { block } = await load(
    dns('ns = ns.example.org', 'hostmaster = hostmaster.example.org', 'rate-limit = off'),
  );
  assert.ok(block?.type === 'dns01-server');
  assert.deepEqual(
    block.listeners.map(({ host, port }) => `${host} ${port}`),
    ['0.0.0.0 53', ':: 53'],
  );
  assert.deepEqual([block.hostmaster, block.rateLimit], ['hostmaster.example.org', Number.POSITIVE_INFINITY]);
});

test('loadConfig() takes listeners for tls-alpn-01, 13443 by default', async () => {
  const ports = async (text: string) => {
    const { block } = await load(text);
    return block?.type === 'tlsalpn01' && block.listeners.map(({ host, port }) => `${host} ${port}`);
  };
  assert.deepEqual(await ports(block('tlsalpn01')), ['0.0.0.0 13443', ':: 13443']);
  assert.deepEqual(await ports(block('tlsalpn01', 'listener = 127.0.0.1:443')), ['127.0.0.1 443']);
});

for (const [what, text, reason] of [
  ['a zone that is no name', dns('zone = a b'), /zone: is not a domain name$/],
  ['the root', dns('zone = .'), /zone: is not a domain name$/],
  [
    'a zone twice',
    dns('ns = n.example', 'zone = a.example', 'zone = A.example.'),
    /zone: a\.example is given twice$/,
  ],
  ['a name server without a name', dns('ns ='), /ns: is not a domain name$/],
  ['a name server at no address', dns('ns = ns.a.example here'), /ns: here is not an IP address$/],
  [
    'a name server at an address with a zone',
    dns('ns = ns.a.example fe80::1%eth0'),
    /ns: fe80::1%eth0 is not an IP/,
  ],
  [
    ...([
      'a name server inside a zone that nobody can find',
      dns('zone = a.example', 'ns = ns.a.example'),
    ] as const),
    /ns: ns\.a\.example is inside the zone a\.example, so its addresses have to follow its name$/,
  ],
  [
    ...([
      'addresses of a name server elsewhere',
      dns('zone = a.example', 'ns = ns.b.example 192.0.2.1'),
    ] as const),
    /ns: ns\.b\.example is in none of the zones, so its addresses belong in its own zone$/,
  ],
  [
    'a hostmaster with dots',
    dns('ns = n.b.example', 'hostmaster = a.b@c.example'),
    /hostmaster: is not an address/,
  ],
  [
    'two hostmasters in one',
    dns('ns = n.b.example', 'hostmaster = a@b@c.example'),
    /hostmaster: is not an address/,
  ],
  ['a ttl of a day', dns('ns = n.b.example', 'ttl = 86400'), /ttl: is not a whole number from 0 to 3600$/],
  [
    'a rate limit of nothing',
    dns('ns = n.b.example', 'rate-limit = 0'),
    /rate-limit: is not a whole number from 1/,
  ],
  [
    'a resolver by name',
    dns('ns = n.b.example', 'resolver = ns.example.org'),
    /resolver: is not an address; names/,
  ],
  [
    'a misspelt option, whatever else it leads to',
    dns('zones = a.example', 'ns = ns.a.example 192.0.2.1'),
    /zones: unknown option, did you mean zone\? known here: type, listener, listeners, zone, ns, /,
  ],
  [
    'an option of another kind',
    block('tlsalpn01', 'zone = a.example'),
    /zone: unknown option; known here: type, listener$/,
  ],
] as const)
  test(`loadConfig() refuses ${what}`, async () => {
    assert.match(await refusal(text), reason);
  });

const { signal } = new AbortController();

/** A resolver that knows these CNAMEs; `asked` are the names that it was asked for. */
function resolver(cnames: Record<string, string>): { ask: Ask; asked: string[] } {
  const asked: string[] = [];
  const ask: Ask = async (name, type) => {
    asked.push(`${name} ${type}`);
    const target = cnames[name];
    const answers = target === undefined ? [] : [{ type: 'CNAME' as const, name, target }];
    return { answers, authorities: [] } as unknown as DnsMessage;
  };
  return { ask, asked };
}

const zones = ['acme.example.net', '_acme-challenge.example.org', 'inner.acme.example.net'];
const verification = { name: 'dns', zones };

for (const [what, name, cnames, place, asked] of [
  [
    ...(['in a zone of its own', '_acme-challenge.example.org', {}] as const),
    { name: '_acme-challenge.example.org', zone: '_acme-challenge.example.org' },
    [],
  ],
  [
    ...(['in the lowest of several zones', '_acme-challenge.inner.acme.example.net', {}] as const),
    { name: '_acme-challenge.inner.acme.example.net', zone: 'inner.acme.example.net' },
    [],
  ],
  [
    'where its CNAME leads, without asking for what is there',
    '_acme-challenge.example.com',
    { '_acme-challenge.example.com': 'com.acme.example.net' },
    { name: 'com.acme.example.net', zone: 'acme.example.net' },
    ['_acme-challenge.example.com CNAME'],
  ],
  [
    'where several CNAMEs lead one after the other',
    '_acme-challenge.example.com',
    {
      '_acme-challenge.example.com': 'a.example',
      'a.example': 'b.example',
      'b.example': 'x.acme.example.net',
    },
    { name: 'x.acme.example.net', zone: 'acme.example.net' },
    ['_acme-challenge.example.com CNAME', 'a.example CNAME', 'b.example CNAME'],
  ],
] as const)
  test(`findPlace() puts a record ${what}`, async () => {
    const { ask, asked: really } = resolver(cnames);
    assert.deepEqual(await findPlace(name, verification, ask, signal), place);
    assert.deepEqual(really, asked);
  });

test('findPlace() puts every record at its own name where there are no zones, and asks nobody', async () => {
  const { ask, asked } = resolver({});
  const name = '_acme-challenge.example.com';
  assert.deepEqual(await findPlace(name, { name: 'dns', zones: [] }, ask, signal), { name, zone: name });
  assert.deepEqual(asked, []);
});

for (const [what, cnames] of [
  ['without a CNAME', {}],
  ['with a CNAME that leads elsewhere', { '_acme-challenge.example.com': 'www.example.com' }],
  ['with a CNAME that leads to itself', { '_acme-challenge.example.com': '_acme-challenge.example.com' }],
  ['with the name of a zone inside another word', { '_acme-challenge.example.com': 'xacme.example.net' }],
] as const)
  test(`findPlace() says which zones would do for a name ${what}`, async () => {
    await assert.rejects(
      findPlace('_acme-challenge.example.com', verification, resolver(cnames).ask, signal),
      {
        name: 'IssuanceError',
        code: 'challengeFailed',
        message: `_acme-challenge.example.com is not in the zones of verification "dns" (${zones.join(', ')}), and no CNAME leads from it into one`,
      },
    );
  });
