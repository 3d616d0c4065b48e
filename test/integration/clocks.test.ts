import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { renewalInfoId } from '../../shared/acme/renewal-info.ts';
import { readCsr } from '../../shared/pki/csr.ts';
import { openRenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { storedId } from '../../shared/renewal/stored-renewals.ts';
import { parseEntry } from '../../shared/trail/event.ts';
import { startBind } from '../support/bind.ts';
import { assertChain } from '../support/chain.ts';
import { makeCsr } from '../support/csr.ts';
import { type Fleet, type RoleProcess, startFleet } from '../support/fleet.ts';
import { freePorts } from '../support/free-port.ts';
import { runQuarry } from '../support/run-quarry.ts';
import { setRenewalInfo, windowFromNow } from '../support/set-renewal-info.ts';
import { aheadBy, shiftedTime } from '../support/shifted-time.ts';
import { waitUntil } from '../support/wait-until.ts';

// The machines of a fleet whose clocks differ by hours; Redis, Pebble and BIND have the right time.

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const [tlsPort, dnsPort] = (await freePorts(2)) as [number, number];
const zone = '_acme-challenge.dns.clocks.example';
const bind = await startBind({
  resolves: true,
  zones: [
    {
      name: 'clocks.example',
      records: ['http A 127.0.0.1', 'tls A 127.0.0.1', '_acme-challenge.dns NS http'],
    },
    { name: zone, forwardTo: [dnsPort] },
  ],
});
after(() => bind[Symbol.asyncDispose]());

const blocks = `
[verification "dns"]
type = dns01-server
listener = 127.0.0.1:${dnsPort}
zone = ${zone}
ns = http.clocks.example
resolver = ${bind.address}
[verification "tls"]
type = tlsalpn01
listener = 127.0.0.1:${tlsPort}
[storage "kept"]
type = redis
renew-ahead = yes
[auth "dns"]
all = yes
domain = dns.clocks.example
verification = dns
storage = kept
[auth "tls"]
all = yes
domain = tls.clocks.example
verification = tls
storage = kept
[auth "http"]
all = yes
domain = http.clocks.example
verification = http
storage = kept
`;

const time = await shiftedTime();
const fleetBegan = Date.now();
let fleet: Fleet;
before(async () => {
  const profiles = { long: { description: 'longer than a clock is ahead', validityPeriod: 1_000 * 86_400 } };
  fleet = await startFleet({
    ...{ roles: [], blocks, time },
    pebble: { tlsPort, dnsServer: bind.address, profiles },
  });
});
after(async () => {
  await fleet[Symbol.asyncDispose]();
  await time[Symbol.asyncDispose]();
});

/** Starts a role on a machine whose clock is so many hours ahead. */
const start = (role: 'intake' | 'worker' | 'responder', ahead: number) =>
  fleet.start(role, { nodeArgs: aheadBy(ahead * hour) });

async function readAdmin({ adminUrl }: RoleProcess, path: string): Promise<string> {
  return (await fetch(`${adminUrl}${path}`)).text();
}

/** @returns what the renewal index calls it, and its chain */
async function sign(name: string): Promise<{ id: string; chain: string }> {
  const { csrPem, keyPem } = await makeCsr({ names: [name] });
  const { status, body } = await fleet.post(csrPem);
  assert.equal(status, 200, body);
  assertChain(body, { names: [name], keyPem, rootPem: await fleet.pebble.rootPem() });
  return { id: storedId('kept', readCsr(Buffer.from(csrPem))), chain: body };
}

for (const [intake, worker, responder] of [
  [-2, -2, 2],
  [2, 2, -2],
] as const)
  suite(`where the worker's clock is ${worker} h ahead and the responder's ${responder} h`, () => {
    let roles: RoleProcess[];
    before(async () => {
      roles = await Promise.all([
        start('intake', intake),
        start('worker', worker),
        start('responder', responder),
      ]);
    });
    after(() => Promise.all(roles.map(role => role.stop())));

    for (const challenge of ['http', 'dns', 'tls'])
      test(`an order that is proven by ${challenge}-01 succeeds at once`, async () => {
        const orders = fleet.orders();
        await sign(`${challenge}.clocks.example`);
        assert.equal(fleet.orders(), orders + 1);
        for (const failures of ['failed-*', 'limit:*', 'look-fault:*'])
          assert.deepEqual(await fleet.redisClient.keys(`{quarry}:${failures}`), []);
      });

    if (worker > 0) return; // what follows does not depend on the direction

    test('operators read of it, and the roles are ready all the same', async () => {
      for (const [index, ahead] of [intake, worker, responder].entries()) {
        const role = roles[index] ?? assert.fail();
        const note = `this machine's clock is 2 h ${ahead > 0 ? 'ahead of' : 'behind'} Redis's`;
        assert.deepEqual((await readAdmin(role, '/readyz')).split('\n').slice(0, 2), ['ready', note]);
        const [, figure] =
          /^quarry_clock_difference_seconds (\S+)$/m.exec(await readAdmin(role, '/metrics')) ?? [];
        assert.ok(Math.abs(Number(figure) - (ahead * hour) / 1_000) < 10, figure);
        assert.ok(role.log().some(({ msg }) => msg === note));
      }
    });

    test('what they and an operator have written has the right time', async () => {
      const clear = ['limits', 'clear', 'account/none', 'main.ini'];
      const cleared = await runQuarry(clear, await fleet.ini(), aheadBy(worker * hour));
      assert.match(cleared.stderr, /no limit "account\/none"/);
      const entries = await fleet.redisClient.xrange('{quarry}:trail', '-', '+');
      const events = entries
        .flatMap(([id, fields]) => parseEntry(id, fields))
        .flatMap(({ event }) => event ?? []);
      const fetches = await fleet.redisClient.hvals('{quarry}:renewals:fetched');
      const looks = await fleet.redisClient.zrange('{quarry}:renewals:due', '0', '-1', 'WITHSCORES');
      const times = [
        ...events.map(({ at }) => at),
        ...fetches.map(text => Number.parseInt(text, 10)),
        ...looks.filter((_, index) => index % 2 === 1).map(look => Number(look) - 5 * minute),
      ];
      assert.ok(events.some(({ event }) => event === 'operator'));
      assert.ok(events.length > 6 && fetches.length > 2 && looks.length > 4);
      for (const time of times)
        assert.ok(time > fleetBegan - 6 * minute && time < Date.now() + minute, new Date(time).toISOString());
    });
  });

suite("where Redis's clock was 400 days ahead", () => {
  const roles = ['intake', 'worker', 'responder', 'scheduler'] as const;
  const startAll = () => Promise.all(roles.map(role => fleet.start(role)));

  test('what was planned then is drawn back once it is right, and renewed when the CA says', async () => {
    await time.set(400 * day);
    const store = { redis: fleet.redisClient, prefix: '{quarry}' };
    const index = openRenewalIndex(store);
    const first = await startAll();
    const { id, chain } = await sign('http.clocks.example');
    await waitUntil('the scheduler to have run', async () => {
      const planned = await fleet.redisClient.zrange('{quarry}:schedule-times', '0', '0', 'WITHSCORES');
      return Number(planned[1]) > Date.now() + 399 * day;
    });
    await Promise.all(first.map(role => role.stop()));
    assert.deepEqual(await index.due(Date.now() + 399 * day, 100).then(due => due.includes(id)), false);

    await time.set(0);
    await setRenewalInfo(fleet.pebble, chain, windowFromNow(-2 * day, -day));
    const [, , , scheduler = assert.fail()] = await startAll();
    const told = () => scheduler.log().find(({ msg }) => `${msg}`.startsWith('drawn back'));
    await waitUntil('it to be told', () => told() !== undefined);
    const { renewals, tasks } = told() ?? {};
    assert.ok(Number(renewals) > 0 && Number(tasks) > 3, `${renewals} ${tasks}`);
    assert.ok((await index.due(Date.now() + hour, 100)).includes(id), 'it is looked at soon');
    await index.putOff([id], 0); // now
    await waitUntil('its successor', async () => {
      const [managed] = await index.read([id]);
      return managed !== undefined && managed.certificate !== renewalInfoId(chain);
    });
  });
});
