import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { AUTHORITATIVE_ANSWER } from 'dns-packet';
import { systemClock } from '../../shared/base/basics.ts';
import { toDns01Record } from '../../shared/solver/dns01-record.ts';
import { openDnsUpdateSolver } from '../../shared/solver/dns01-update.ts';
import { newResponse } from '../contract/solver.contract.ts';
import { type BindKey, newBindKey, startBind } from '../support/bind.ts';
import { freePort } from '../support/free-port.ts';
import { keptLog } from '../support/kept-log.ts';
import { quietLog } from '../support/quiet-log.ts';
import { reply, startScriptedDns } from '../support/scripted-dns.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { updateConfig } from '../support/update-config.ts';

const { signal } = new AbortController();
const key = newBindKey('acme');
const keys = [
  key,
  newBindKey('acme384', 'hmac-sha384'),
  newBindKey('acme512', 'hmac-sha512'),
  newBindKey('Host.example.org'),
];
const allow = (name: string) => keys.map(one => `grant ${one.name} name _acme-challenge.${name}. TXT`);

const bind = await startBind({
  keys,
  zones: [
    {
      name: 'example.org',
      policy: [...allow('example.org'), ...allow('delegated.example.org'), ...allow('beyond.example.org')],
      records: [
        '_acme-challenge.cname CNAME proof.acme.example.net.',
        '_acme-challenge.circle CNAME _acme-challenge.circle2',
        '_acme-challenge.circle2 CNAME _acme-challenge.circle',
        '_acme-challenge.away CNAME proof.elsewhere.example.',
        'delegated NS ns.elsewhere.example.',
      ],
    },
    { name: 'acme.example.net', policy: ['grant acme zonesub TXT'] },
    { name: 'example.co.uk', policy: allow('www.example.co.uk') },
    { name: 'b.a.example.co.uk', policy: allow('www.b.a.example.co.uk') },
    {
      name: 'wild.example',
      policy: [...allow('wild.example'), ...allow('www.wild.example')],
      records: ['* CNAME web.elsewhere.example.'],
    },
    { name: 'open.example', allowUpdate: '127.0.0.1' },
    { name: 'closed.example' },
  ],
});
after(() => bind[Symbol.asyncDispose]());

type Options = Parameters<typeof updateConfig>[1];
const open = (options: Options = { key }, clock = systemClock, log = quietLog) =>
  openDnsUpdateSolver(updateConfig(bind, options), { clock, log });

/** Presents a response and resolves to what the server then holds where it was to be written. */
async function presented(solver: ReturnType<typeof open>, name: string, at = `_acme-challenge.${name}`) {
  const response = newResponse(name);
  const { value } = toDns01Record(response);
  await solver.present(response, signal);
  const shown = await bind.dig(at, 'TXT');
  assert.ok(shown.includes(`"${value}"`), shown.join());
  assert.equal(await solver.propagation?.missing(response, signal), undefined);
  await solver.withdraw(response, signal);
  assert.ok(!(await bind.dig(at, 'TXT')).includes(`"${value}"`));
}

async function refusal(solver: ReturnType<typeof open>, name = 'example.org'): Promise<string> {
  const error = await solver.present(newResponse(name), signal).then(
    () => assert.fail('was taken'),
    error => error,
  );
  assert.equal(error.code, 'misconfigured', error.message);
  assert.doesNotMatch(error.message, /\n/);
  return error.message.replace(bind.address, 'BIND');
}

const elsewhere = (more: Partial<BindKey>): Options => ({ key: { ...key, ...more } });

suite('dns01-dnsUpdate', () => {
  for (const one of keys) {
    test(`adds and deletes with the key ${one.name} of ${one.algorithm}`, () =>
      presented(open({ key: one }), 'example.org'));
  }

  test('adds and deletes without a key where the server trusts the address', () =>
    presented(open({}), 'open.example'));

  test('finds the zone below co.uk', () => presented(open(), 'www.example.co.uk'));

  test('finds a zone two levels below another', () => presented(open(), 'www.b.a.example.co.uk'));

  test('takes the zone that is configured, the longest that fits', () =>
    presented(open({ key, zones: ['co.uk', 'example.co.uk', 'uk'] }), 'www.example.co.uk'));

  test('follows a CNAME into another zone', () =>
    presented(open(), 'cname.example.org', 'proof.acme.example.net'));

  test('adds beside a CNAME of a wildcard, which is none of the name itself', async () => {
    await presented(open(), 'wild.example');
    await presented(open(), 'www.wild.example');
  });

  test('proves a wildcard and its base name beside each other', async () => {
    const solver = open();
    const [base, wildcard] = [newResponse('example.org'), newResponse('*.example.org')];
    await Promise.all([base, wildcard].map(one => solver.present(one, signal)));
    assert.equal((await bind.dig('_acme-challenge.example.org', 'TXT')).length, 2);
    await solver.withdraw(base, signal);
    assert.deepEqual(await bind.dig('_acme-challenge.example.org', 'TXT'), [
      `"${toDns01Record(wildcard).value}"`,
    ]);
    await solver.withdraw(wildcard, signal);
    assert.deepEqual(await bind.dig('_acme-challenge.example.org', 'TXT'), []);
  });

  test('gives records the time to live that is configured', async () => {
    const solver = open({ key, ttl: 7 });
    const response = newResponse('example.org');
    await solver.present(response, signal);
    const [line] = await bind.dig('_acme-challenge.example.org', 'TXT', '+noshort', '+noall', '+answer');
    assert.match(line ?? '', /\s7\s+IN\s+TXT\s/);
    await solver.withdraw(response, signal);
  });
});

suite('dns01-dnsUpdate tells', () => {
  const refused: [what: string, solver: () => ReturnType<typeof open>, name: string, message: string][] = [
    [
      'a name that the key may not update',
      () => open(),
      'www.example.org',
      'REFUSED for _acme-challenge.www.example.org: the key may not update this name',
    ],
    [
      'a server that takes no updates without a key',
      () => open({}),
      'example.org',
      'REFUSED for _acme-challenge.example.org: it takes no updates without a TSIG key from here',
    ],
    [
      'a key that the server does not know',
      () => open(elsewhere({ name: 'nobody' })),
      'example.org',
      'NOTAUTH (BADKEY): it does not know the key nobody with hmac-sha256, or not for this name',
    ],
    [
      'the wrong algorithm',
      () => open(elsewhere({ algorithm: 'hmac-sha512' })),
      'example.org',
      'NOTAUTH (BADKEY): it does not know the key acme with hmac-sha512, or not for this name',
    ],
    [
      'a wrong secret',
      () => open(elsewhere({ secret: newBindKey('x').secret })),
      'example.org',
      'NOTAUTH (BADSIG): its secret of the key acme is another one',
    ],
    [
      'a zone that the server does not hold',
      () => open(),
      'example.com',
      'it holds no zone for _acme-challenge.example.com, it answers REFUSED',
    ],
    [
      'a name that is delegated to other servers',
      () => open(),
      'delegated.example.org',
      'it holds no zone for _acme-challenge.delegated.example.org, it delegates delegated.example.org to others',
    ],
    [
      'a CNAME into a zone that the server does not hold',
      () => open(),
      'away.example.org',
      'it holds no zone for proof.elsewhere.example, it answers REFUSED',
    ],
    [
      'a zone that is configured and not there',
      () => open({ key, zones: ['sub.example.org', 'uk'] }),
      'www.example.co.uk',
      'NOTAUTH for _acme-challenge.www.example.co.uk: it is not authoritative for the zone uk, or does not take the key for it',
    ],
  ];
  for (const [what, solver, name, message] of refused) {
    test(what, async () => assert.equal(await refusal(solver(), name), `DNS server BIND: ${message}`));
  }

  test('a name outside the zones that are configured', async () => {
    const zones = ['example.net', 'sub.example.org'];
    assert.equal(
      await refusal(open({ key, zones })),
      '_acme-challenge.example.org lies in no zone that is to be updated (example.net, sub.example.org)',
    );
  });

  test('CNAMEs that lead in a circle', async () => {
    assert.equal(
      await refusal(open(), 'circle.example.org'),
      '_acme-challenge.circle.example.org is a CNAME that leads on and on',
    );
  });

  for (const [minutes, where] of [
    [10, 'behind'],
    [-10, 'ahead of'],
  ] as const) {
    test(`a clock that is 10 minutes ${minutes > 0 ? 'ahead' : 'behind'}`, async () => {
      const clock = turnedClock(Date.now() + minutes * 60_000);
      const told = await refusal(open({ key }, clock));
      assert.match(
        told,
        new RegExp(
          `^DNS server BIND: NOTAUTH \\(BADTIME\\): its clock is (59\\d|60\\d) seconds ${where} that of this machine$`,
        ),
      );
    });
  }

  test('a failure to remove a record in the log, and keeps no certificate back', async () => {
    const { log, lines } = keptLog();
    await open({ key }, systemClock, log).withdraw(newResponse('closed.example'), signal);
    assert.equal(lines.length, 1);
    assert.equal(lines[0]?.msg, 'TXT record cannot be removed');
    assert.match(
      `${lines[0]?.reason}`,
      /REFUSED for _acme-challenge\.closed\.example: the key may not update/,
    );
  });
});

suite('dns01-dnsUpdate with several servers', () => {
  const away = async () => ({ host: '127.0.0.1', port: await freePort() });

  test('uses the next when one is down', async () => {
    const servers = [await away(), bind, await away()].map(({ host, port }) => ({ host, port }));
    await presented(open({ key, servers }), 'example.org');
  });

  test('uses the next when one fails, or does not answer, and asks first the one that answered last', async () => {
    await using silent = await startScriptedDns(() => []);
    await using failing = await startScriptedDns(asked => [reply(asked, [], { rcode: 2 })]);
    const servers = [silent.server, failing.server, { host: bind.host, port: bind.port }];
    await presented(open({ key, servers, timeout: 5_000 }), 'example.org');
    assert.deepEqual([silent.asked.length, failing.asked.length], [1, 1]);
  });

  test('is unavailable when all are down, naming them', async () => {
    const servers = [await away(), await away()];
    await assert.rejects(
      open({ key, servers }).present(newResponse('example.org'), signal),
      (error: Error) => {
        assert.equal((error as { code?: string }).code, 'unavailable');
        for (const { port } of servers)
          assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${port}: .*ECONNREFUSED`));
        return true;
      },
    );
  });

  test('does not go on to another when one refuses', async () => {
    const servers = [{ host: bind.host, port: bind.port }, await away()];
    assert.match(await refusal(open({ key, servers }), 'www.example.org'), /REFUSED/);
  });
});

test('dns01-dnsUpdate ends with its signal', async () => {
  const leaving = new AbortController();
  await using silent = await startScriptedDns(() => {
    leaving.abort(new Error('enough'));
    return [];
  });
  const solver = open({ key, servers: [silent.server, silent.server] });
  await assert.rejects(solver.present(newResponse('example.org'), leaving.signal), /^Error: enough$/);
  await assert.rejects(solver.withdraw(newResponse('example.org'), leaving.signal), /^Error: enough$/);
  assert.equal(silent.asked.length, 1);
});

suite('dns01-dnsUpdate waits', () => {
  test('for a secondary that lags', async () => {
    const copy = await startBind({ zones: [{ name: 'example.org', copyOf: bind.port }] });
    await using _copy = copy;
    const propagationServers = [bind, copy].map(({ host, port }) => ({ host, port }));
    const solver = open({ key, propagationServers });
    // Its copy is whole once it shows the zone.
    await copy.untilItHolds('example.org');
    const response = newResponse('example.org');
    await solver.present(response, signal);
    assert.equal(
      await solver.propagation?.missing(response, signal),
      `${copy.address} does not show the new record of _acme-challenge.example.org yet (NXDOMAIN)`,
    );
    await copy.restart();
    await copy.untilItHolds('example.org');
    assert.equal(await solver.propagation?.missing(response, signal), undefined);
    await solver.withdraw(response, signal);
  });

  test('for every name server that the zone lists', async () => {
    const port = await freePort();
    await using primary = await startBind({
      port,
      keys: [key],
      zones: [
        {
          name: 'two.example',
          policy: allow('two.example'),
          records: ['@ NS ns1', '@ NS ns2', 'ns1 A 127.0.0.1', 'ns2 A 127.0.0.2'],
        },
      ],
    });
    const solver = openDnsUpdateSolver(updateConfig(primary, { key }), {
      ...{ clock: systemClock, log: quietLog, nameServerPort: port },
    });
    const response = newResponse('two.example');
    await solver.present(response, signal);
    const missing = () => solver.propagation?.missing(response, signal);
    assert.match(
      `${await missing()}`,
      new RegExp(`^name server ns2\\.two\\.example: DNS server 127\\.0\\.0\\.2:${port}: .*ECONNREFUSED`),
    );
    const { name, value } = toDns01Record(response);
    await using _secondary = await startScriptedDns(
      asked => [reply(asked, [{ type: 'TXT', name, data: value }], { flags: AUTHORITATIVE_ANSWER })],
      { host: '127.0.0.2', port },
    );
    assert.equal(await missing(), undefined);
    await solver.withdraw(response, signal);
    assert.equal(
      await missing(),
      `name server ns1.two.example: 127.0.0.1:${port} does not show the new record of _acme-challenge.two.example yet (NXDOMAIN)`,
    );
  });

  test('for nobody where propagation is off', () => {
    assert.equal(open({ key, propagation: false }).propagation, undefined);
  });
});
