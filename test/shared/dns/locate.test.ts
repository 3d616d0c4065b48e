import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type LocateParts, locate } from '../../../shared/dns/locate.ts';
import type { DnsMessage, DnsRecord } from '../../../shared/dns/message.ts';
import type { Ask } from '../../../shared/dns/query.ts';

const { signal } = new AbortController();
const name = '_acme-challenge.www.example.org';

const soa = (of: string): DnsRecord => ({ type: 'SOA', name: of, primary: 'ns.example' });
const cname = (of: string, target: string): DnsRecord => ({ type: 'CNAME', name: of, target });

/** Answers from these messages, by name and type; `authoritative` where nothing else is said. */
function answering(
  answers: Record<string, Partial<DnsMessage>>,
  authoritative = true,
): { ask: Ask; asked: string[] } {
  const asked: string[] = [];
  const usual = { id: 1, response: true, opcode: 'QUERY', rcode: 'NOERROR', truncated: false };
  const ask: Ask = async (at, type) => {
    asked.push(`${at} ${type}`);
    const empty = { questions: [], answers: [], authorities: [] };
    return { ...usual, authoritative, ...empty, ...answers[`${at} ${type}`] };
  };
  return { ask, asked };
}

const nobody: Ask = () => assert.fail('the resolver was asked');
const refused = answering({}, false).ask;

function find(ask: Ask, more: Partial<LocateParts> = {}) {
  return locate(name, { ask, resolve: nobody, zones: [], server: 'ns', ...more }, signal);
}

suite('locate()', () => {
  test('asks the server once where its negative answer shows the zone', async () => {
    const { ask, asked } = answering({
      [`${name} CNAME`]: { rcode: 'NXDOMAIN', authorities: [soa('example.org')] },
    });
    assert.deepEqual(await find(ask), { name, zone: 'example.org' });
    assert.deepEqual(asked, [`${name} CNAME`]);
  });

  test('walks upwards where the negative answer shows none', async () => {
    const { ask } = answering({ 'example.org SOA': { answers: [soa('example.org')] } });
    assert.deepEqual(await find(ask), { name, zone: 'example.org' });
  });

  test('asks a resolver about names that the server does not hold', async () => {
    const server = answering({
      [`${name} CNAME`]: { authoritative: false, rcode: 'REFUSED' },
      'proof.example.net CNAME': { authorities: [soa('example.net')] },
    });
    const resolver = answering({ [`${name} CNAME`]: { answers: [cname(name, 'proof.example.net')] } }, false);
    const place = await find(server.ask, { resolve: resolver.ask });
    assert.deepEqual(place, { name: 'proof.example.net', zone: 'example.net' });
    assert.deepEqual(resolver.asked, [`${name} CNAME`]);
  });

  test('follows a CNAME that stands beside a wildcard of another target', async () => {
    const { ask } = answering({
      [`${name} CNAME`]: { answers: [cname(name, 'proof.example.org')] },
      '*.www.example.org CNAME': { answers: [cname('*.www.example.org', 'web.example.org')] },
      'proof.example.org CNAME': { authorities: [soa('example.org')] },
    });
    assert.deepEqual(await find(ask), { name: 'proof.example.org', zone: 'example.org' });
  });

  test('never takes a zone from a server that is not authoritative', async () => {
    const { ask } = answering({ [`${name} CNAME`]: { authorities: [soa('org')] } }, false);
    await assert.rejects(find(ask, { resolve: refused }), {
      code: 'misconfigured',
      message: `DNS server ns: it holds no zone for ${name}, it answers NOERROR`,
    });
  });

  test('takes the longest of the zones that are configured, also of a server that answers no questions', async () => {
    const { ask } = answering({ [`${name} CNAME`]: { rcode: 'REFUSED' } }, false);
    const place = await find(ask, { resolve: refused, zones: ['org', 'www.example.org', 'example.org'] });
    assert.deepEqual(place, { name, zone: 'www.example.org' });
  });

  test('refuses a name that only looks as if it lay in a zone', async () => {
    const { ask } = answering({});
    await assert.rejects(find(ask, { zones: ['ample.org'] }), {
      code: 'misconfigured',
      message: /lies in no zone/,
    });
  });

  test('refuses a circle of CNAMEs, and one to what is no name', async () => {
    const circle = answering({
      [`${name} CNAME`]: { answers: [cname(name, 'b.example')] },
      'b.example CNAME': { answers: [cname('b.example', name)] },
    });
    await assert.rejects(find(circle.ask), { code: 'misconfigured', message: /leads on and on$/ });
    const odd = answering({ [`${name} CNAME`]: { answers: [cname(name, 'a b\n.example')] } });
    await assert.rejects(find(odd.ask), { code: 'misconfigured', message: /a name that cannot be used$/ });
  });
});
