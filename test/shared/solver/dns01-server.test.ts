import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DnsMessage } from '../../../shared/dns/message.ts';
import type { Ask } from '../../../shared/dns/query.ts';
import { findPlace } from '../../../shared/solver/dns01-server.ts';

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
