import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { DnsMessage, DnsRecord } from '../../../shared/dns/message.ts';
import type { Ask } from '../../../shared/dns/query.ts';
import { findNameServers, findZone } from '../../../shared/dns/zone.ts';

const { signal } = new AbortController();

const soa = (name: string): DnsRecord => ({ type: 'SOA', name, primary: `ns.${name}` });
const ns = (name: string, target: string): DnsRecord => ({ type: 'NS', name, target });
const cname = (name: string, target: string): DnsRecord => ({ type: 'CNAME', name, target });
const a = (name: string, address: string): DnsRecord => ({ type: 'A', name, address });
const aaaa = (name: string, address: string): DnsRecord => ({ type: 'AAAA', name, address });

/** Answers from these records; what is asked for is kept. */
function scripted(answers: Record<string, Partial<DnsMessage>>): { ask: Ask; asked: string[] } {
  const asked: string[] = [];
  const message = {
    id: 1,
    response: true,
    opcode: 'QUERY',
    rcode: 'NOERROR',
    authoritative: true,
    truncated: false,
  };
  const ask: Ask = async (name, type) => {
    asked.push(`${name} ${type}`);
    return { ...message, questions: [], answers: [], authorities: [], ...answers[`${name} ${type}`] };
  };
  return { ask, asked };
}

suite('findZone()', () => {
  const name = '_acme-challenge.www.example.co.uk';

  test('takes the zone from the negative answer', async () => {
    const { ask, asked } = scripted({
      [`${name} SOA`]: { rcode: 'NXDOMAIN', authorities: [soa('example.co.uk')] },
    });
    assert.equal(await findZone(name, ask, signal), 'example.co.uk');
    assert.equal(asked.length, 1);
  });

  test('takes a zone that begins at the name', async () => {
    const { ask } = scripted({ [`${name} SOA`]: { answers: [soa(name)] } });
    assert.equal(await findZone(name, ask, signal), name);
  });

  test('walks upwards where an answer shows no zone', async () => {
    const { ask, asked } = scripted({ 'example.co.uk SOA': { answers: [soa('example.co.uk')] } });
    assert.equal(await findZone(name, ask, signal), 'example.co.uk');
    assert.deepEqual(asked, [`${name} SOA`, 'www.example.co.uk SOA', 'example.co.uk SOA']);
  });

  test('does not believe in a zone elsewhere, nor in that of a CNAME on the way', async () => {
    const { ask } = scripted({
      [`${name} SOA`]: { authorities: [soa('evil.example')] },
      'www.example.co.uk SOA': {
        answers: [cname('www.example.co.uk', 'cdn.example')],
        authorities: [soa('co.uk')],
      },
      'example.co.uk SOA': { answers: [soa('cdn.example')], authorities: [soa('example.co.uk')] },
    });
    assert.equal(await findZone(name, ask, signal), 'example.co.uk');
  });

  test('never guesses', async () => {
    const { ask, asked } = scripted({});
    assert.equal(await findZone(name, ask, signal), undefined);
    assert.equal(asked.at(-1), 'uk SOA');
  });
});

test('findNameServers() lists all of them with their addresses, those outside by asking elsewhere', async () => {
  const zone = scripted({
    'example.org NS': {
      answers: [ns('example.org', 'ns1.example.org'), ns('example.org', 'ns2.example.net')],
    },
    'ns1.example.org A': { answers: [a('ns1.example.org', '192.0.2.1')] },
    'ns1.example.org AAAA': { answers: [aaaa('ns1.example.org', '2001:db8::1')] },
  });
  const others = scripted({ 'ns2.example.net A': { answers: [a('ns2.example.net', '192.0.2.2')] } });
  assert.deepEqual(await findNameServers('example.org', zone.ask, signal, others.ask), [
    { name: 'ns1.example.org', addresses: ['2001:db8::1', '192.0.2.1'] },
    { name: 'ns2.example.net', addresses: ['192.0.2.2'] },
  ]);
  assert.ok(!zone.asked.some(question => question.includes('example.net')));
});

test('findNameServers() asks elsewhere about a zone whose server answers no questions', async () => {
  const others = scripted({
    'example.org NS': { answers: [ns('example.org', 'ns1.example.org')] },
    'ns1.example.org A': { answers: [a('ns1.example.org', '192.0.2.1')] },
  });
  assert.deepEqual(await findNameServers('example.org', scripted({}).ask, signal, others.ask), [
    { name: 'ns1.example.org', addresses: ['192.0.2.1'] },
  ]);
});
