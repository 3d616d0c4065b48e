import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { suite, test } from 'node:test';
import type { Answer } from 'dns-packet';
import { lookInDns } from '../../../../shared/acme-server/validate/dns-01.ts';
import { reply, startScriptedDns } from '../../../support/scripted-dns.ts';
import { aProof, aSight, keyAuthorization, never } from './a-proof.ts';

const digest = hash('sha256', keyAuthorization, 'base64url');
const name = '_acme-challenge.example.org';
const txt = (data: string[], at = name): Answer => ({ name: at, type: 'TXT', data, ttl: 1 });

async function lookAt(answers: Answer[], { rcode = 0, identifier = 'example.org' } = {}) {
  await using dns = await startScriptedDns(asked => [reply(asked, answers, { rcode })]);
  const seen = await lookInDns(aProof(identifier), aSight({ resolvers: [dns.server] }), never);
  return { seen, asked: dns.asked.map(({ questions = [] }) => questions[0]?.name) };
}

suite('a look at a dns-01 response of a client', () => {
  test('sees the digest among several records', async () => {
    const { seen, asked } = await lookAt([txt(['of another']), txt([digest])]);
    assert.equal(seen, undefined);
    assert.deepEqual(asked, [name]);
  });

  test('sees it where it is in pieces, and for a wildcard below its name', async () => {
    const pieces = [txt([digest.slice(0, 20), digest.slice(20)])];
    const { seen, asked } = await lookAt(pieces, { identifier: '*.example.org' });
    assert.equal(seen, undefined);
    assert.deepEqual(asked, [name]);
  });

  test('sees it where CNAMEs lead, and not at names that nothing leads to', async () => {
    const cname = (from: string, data: string): Answer => ({ name: from, type: 'CNAME', data, ttl: 1 });
    const chain = [cname(name, 'a.example.net'), cname('a.example.net', 'b.example.net')];
    assert.equal((await lookAt([...chain, txt([digest], 'b.example.net')])).seen, undefined);
    const { seen } = await lookAt([...chain, txt([digest], 'c.example.net')]);
    assert.equal(seen?.kind, 'dns');
    const loop = [cname(name, 'a.example.net'), cname('a.example.net', name)];
    assert.equal((await lookAt(loop)).seen?.kind, 'dns');
  });

  test('tells what is wrong, and no value of a record', async () => {
    const other = await lookAt([txt(['secret']), txt(['other'])]);
    assert.deepEqual(other.seen, {
      kind: 'incorrectResponse',
      detail: `none of the 2 TXT records at ${name} is the digest of the key authorization`,
    });
    const none = await lookAt([], { rcode: 3 });
    assert.deepEqual(none.seen, { kind: 'dns', detail: `there is no TXT record at ${name} (NXDOMAIN)` });
    const failing = await lookAt([], { rcode: 2 });
    assert.equal(failing.seen?.kind, 'dns');
    assert.equal(failing.seen?.detail, `the TXT records at ${name} cannot be looked up`);
    assert.match(`${failing.seen?.hidden}`, /SERVFAIL/);
  });

  test('does not take a record for the digest that only begins like it', async () => {
    const { seen } = await lookAt([
      txt([`${digest}x`]),
      txt([digest.slice(0, -1)]),
      txt([digest.toLowerCase()]),
    ]);
    assert.equal(seen?.kind, 'incorrectResponse');
  });
});
