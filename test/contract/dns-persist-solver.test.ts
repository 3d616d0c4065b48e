import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { systemClock } from '../../shared/base/basics.ts';
import { openDnsPersistSolver } from '../../shared/solver/dns-persist.ts';
import { startBind } from '../support/bind.ts';
import { freePort } from '../support/free-port.ts';
import { newResponse } from './solver.contract.ts';

// Nothing is presented, so that the contract of the other kinds does not apply: what has to stand in the DNS
// is looked for.

const accountUrl = 'https://ca.example/acct/123456789';
const { signal } = new AbortController();
const long = 'x'.repeat(200);

const bind = await startBind({
  zones: [
    {
      name: 'example.org',
      records: [
        `_validation-persist 3600 IN TXT "ca.example; accounturi=${accountUrl}; policy=wildcard"`,
        `_validation-persist.www 3600 IN TXT "v=spf1 -all"`,
        `_validation-persist.www 3600 IN TXT "ca.example; accounturi=${accountUrl}"`,
        '_validation-persist.alias 3600 IN CNAME _validation-persist.www',
        `_validation-persist.long 3600 IN TXT "ca.example; accounturi=${accountUrl}; " "later=${long}"`,
        `_validation-persist.other 3600 IN TXT "ca.example; accounturi=${accountUrl}0"`,
      ],
    },
  ],
});
after(() => bind[Symbol.asyncDispose]());

function look(value: string, port = bind.port, ending = signal): Promise<string | undefined> {
  const config = {
    name: 'persist',
    type: 'dns-persist-01',
    challenge: 'dns-persist-01',
    resolvers: [{ host: '127.0.0.1', port }],
  } as const;
  const solver = openDnsPersistSolver(
    { ...config, resolvers: [...config.resolvers] },
    { clock: systemClock },
  );
  const persist = { accountUrl, issuerDomainNames: ['ca.example', 'other.example'] };
  assert.ok(solver.propagation);
  return solver.propagation.missing({ ...newResponse(value), persist }, ending);
}

suite('dns-persist-01 solver', () => {
  for (const name of [
    'example.org',
    '*.example.org',
    'www.example.org',
    'alias.example.org',
    'long.example.org',
  ])
    test(`sees in a BIND that a record stands for ${name}`, async () => {
      assert.equal(await look(name), undefined);
    });

  test('says what stands in its way, and what to publish', async () => {
    const publish = `publish "ca.example; accounturi=${accountUrl}`;
    const at = (name: string) => `_validation-persist.${name} TXT`;
    assert.equal(
      await look('none.example.org'),
      `${at('none.example.org')}: there is no such record; ${publish}"`,
    );
    assert.equal(
      await look('*.www.example.org'),
      `${at('www.example.org')}: its policy is not wildcard; ${publish}; policy=wildcard"`,
    );
    assert.equal(
      await look('other.example.org'),
      `${at('other.example.org')}: the record is for another account; ${publish}"`,
    );
  });

  test('says that it cannot look where the DNS server refuses or is away', async () => {
    assert.equal(
      await look('elsewhere.example'),
      '_validation-persist.elsewhere.example TXT cannot be looked up: the DNS server answers REFUSED',
    );
    const port = await freePort();
    assert.match(
      (await look('example.org', port)) ?? '',
      new RegExp(
        `^_validation-persist\\.example\\.org TXT cannot be looked up: DNS server 127\\.0\\.0\\.1:${port}: `,
      ),
    );
  });

  test("rejects with its signal's reason", async () => {
    const reason = new Error('the worker has stopped');
    await assert.rejects(look('example.org', bind.port, AbortSignal.abort(reason)), reason);
  });
});
