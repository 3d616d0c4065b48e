import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, afterEach, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { asking } from '../../shared/dns/query.ts';
import { valuesKey } from '../../shared/solver/dns-records.ts';
import { startBind } from '../support/bind.ts';
import { assertChain } from '../support/chain.ts';
import { makeCsr } from '../support/csr.ts';
import { startFleet } from '../support/fleet.ts';
import { freePorts } from '../support/free-port.ts';
import { provision } from '../support/provision.ts';
import { runQuarry } from '../support/run-quarry.ts';
import { lastStopMs, waitUntil } from '../support/wait-until.ts';

// Whole orders: Pebble asks a BIND that has the zones above, and that finds the responders behind their
// delegations.

const ports = (await freePorts(2)) as [number, number];
const delegated = ['acme.quarry.example', '_acme-challenge.ns.example', '_acme-challenge.both.example'];

const bind = await startBind({
  resolves: true,
  zones: [
    { name: 'quarry.example', records: ['acme NS ns1'] },
    { name: 'ns.example', records: ['_acme-challenge NS ns1.quarry.example.'] },
    { name: 'both.example', records: ['_acme-challenge NS ns1.quarry.example.'] },
    {
      name: 'cname.example',
      records: [
        '_acme-challenge CNAME cname.example.acme.quarry.example.',
        '_acme-challenge.deep CNAME a.b.c.d.acme.quarry.example.',
        '_acme-challenge.chain CNAME chain.elsewhere.example.',
        ...Array.from({ length: 10 }, (_, n) => `_acme-challenge.n${n} CNAME n${n}.acme.quarry.example.`),
      ],
    },
    { name: 'elsewhere.example', records: ['chain CNAME chain.acme.quarry.example.'] },
    ...delegated.map(name => ({ name, forwardTo: ports })),
  ],
});
after(() => bind[Symbol.asyncDispose]());
const fleet = await startFleet({ roles: [], pebble: { dnsServer: bind.address } });
after(() => fleet[Symbol.asyncDispose]());
afterEach(() => fleet.letGo());

const blocks = (port: number) => `
[verification "dns"]
type = dns01-server
listener = 127.0.0.1:${port}
${delegated.map(name => `zone = ${name}`).join('\n')}
ns = ns1.quarry.example
resolver = ${bind.address}
[auth "all"]
all = yes
domain = *
verification = dns
`;
await Promise.all([
  ...(['intake', 'worker'] as const).map(role => fleet.start(role, { blocks: blocks(ports[0]) })),
]);
for (const port of ports) await fleet.start('responder', { blocks: blocks(port) });

async function post(...names: string[]) {
  const { csrPem, keyPem } = await makeCsr({ names });
  return { ...(await fleet.post(csrPem)), keyPem, names };
}

async function sign(...names: string[]) {
  const { status, body, keyPem } = await post(...names);
  assert.equal(status, 200, body);
  assertChain(body, { names, keyPem, rootPem: await fleet.pebble.rootPem() });
}

suite('an order proven by the responders as name servers', () => {
  test('where an NS record leads to them', () => sign('ns.example'));
  test('where a CNAME leads to them', () => sign('cname.example'));
  test('where a CNAME leads to a name far below the zone', () => sign('deep.cname.example'));
  test('where several CNAMEs lead to them', () => sign('chain.cname.example'));
  test('of a base name and its wildcard, by two values of one name', () =>
    sign('both.example', '*.both.example'));
  test('of many names', () => sign(...Array.from({ length: 10 }, (_, n) => `n${n}.cname.example`)));

  test('is not disturbed by others for the same name', async () => {
    const orders = [['n1.cname.example'], ['n1.cname.example', 'n2.cname.example'], ['*.n1.cname.example']];
    await Promise.all(orders.map(names => sign(...names)));
  });

  test('leaves nothing in Redis', async () => {
    await waitUntil(
      'all to be withdrawn',
      async () => (await fleet.redisClient.keys('{quarry}:dns-01*')).length === 0,
    );
  });

  test('tells a client in one line what is missing', async () => {
    const { status, body } = await post('www.lost.example');
    assert.equal(status, 421);
    assert.equal(
      body,
      `_acme-challenge.www.lost.example is not in the zones of verification "dns" (${delegated.join(', ')}), and no CNAME leads from it into one\n`,
    );
  });

  test('goes on while one of two responders is away', async () => {
    await fleet.all('responder')[0]?.kill();
    await sign('n3.cname.example', 'n4.cname.example');
    await fleet.start('responder', { blocks: blocks(ports[0]) });
  });
});

suite('a responder as a name server', () => {
  const [name, value] = ['here.acme.quarry.example', 'v'.repeat(43)];
  const put = () => fleet.redisClient.zadd(valuesKey('{quarry}', name), Date.now() + 600_000, value);

  async function run(tool: 'dig' | 'kdig' | 'delv', ...words: string[]): Promise<string> {
    const { [tool]: command } = await provision([tool]);
    const args = ['@127.0.0.1', '-p', `${ports[0]}`, ...words];
    const { stdout } = await promisify(execFile)(command, args);
    return stdout;
  }

  for (const tool of ['dig', 'kdig'] as const)
    for (const transport of ['+notcp', '+tcp'])
      test(`is understood by ${tool} ${transport}`, async () => {
        await put();
        const there = await run(tool, transport, name, 'TXT');
        assert.match(there, /status: NOERROR/);
        assert.match(there, new RegExp(`^${name}\\.\\s+0\\s+IN\\s+TXT\\s+"${value}"$`, 'm'));
        assert.match(await run(tool, transport, 'none.acme.quarry.example', 'TXT'), /status: NXDOMAIN/);
        const absent = await run(tool, transport, name, 'AAAA');
        assert.match(
          absent,
          /status: NOERROR[\s\S]*^acme\.quarry\.example\.\s+0\s+IN\s+SOA\s+ns1\.quarry\.example\./m,
        );
        assert.match(await run(tool, transport, 'example.org', 'A'), /status: REFUSED/);
        assert.doesNotMatch(
          await run(tool, transport, name, 'TXT'),
          /malformed|warning: (?!recursion)|mismatch/i,
        );
      });

  test('is understood by delv', async () => {
    await put();
    const there = await run('delv', '-i', name, 'TXT');
    assert.match(there, new RegExp(`^${name}\\.\\s+0\\s+IN\\s+TXT\\s+"${value}"$`, 'm'));
    assert.match(await run('delv', '-i', name, 'A'), /negative response/);
  });

  test('waits for a Redis that is being restarted', async () => {
    await put();
    await fleet.redis.stop();
    const ask = asking({ host: '127.0.0.1', port: ports[0] }, { recursive: false, timeout: lastStopMs });
    const asked = ask(name, 'TXT', new AbortController().signal);
    await fleet.redis.restart();
    const { rcode, answers } = await asked;
    assert.deepEqual([rcode, answers], ['NOERROR', [{ type: 'TXT', name, value }]]);
  });
});

test('quarry check lists the listeners of the responders, and --probe asks them', async () => {
  await waitUntil('the responder to have its Redis again', async () => {
    const ended = await runQuarry(
      ['check', '--probe', 'main.ini'],
      await fleet.ini({ blocks: blocks(ports[0]) }),
    );
    assert.match(ended.stdout, new RegExp(`^ {2}verification "dns" {3}127\\.0\\.0\\.1:${ports[0]}$`, 'm'));
    return new RegExp(
      `^\\[verification "dns"\\] dns01-server: 127\\.0\\.0\\.1:${ports[0]} answered with`,
      'm',
    ).test(ended.stdout);
  });
});
