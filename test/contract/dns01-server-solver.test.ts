import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { dnsServers } from '../../services/responder/dns-server.ts';
import { systemClock } from '../../shared/base/basics.ts';
import { openListeners } from '../../shared/base/listeners.ts';
import { openMetrics } from '../../shared/base/metrics.ts';
import { asking } from '../../shared/dns/query.ts';
import { openDnsRecords, valuesKey } from '../../shared/solver/dns-records.ts';
import { toDns01Record } from '../../shared/solver/dns01-record.ts';
import type { Dns01ServerConfig } from '../../shared/solver/dns01-server.ts';
import { openSolvers } from '../../shared/solver/kinds.ts';
import type { ChallengeResponse, Solver } from '../../shared/solver/solver.ts';
import { freePort } from '../support/free-port.ts';
import { quietLog } from '../support/quiet-log.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { newResponse, type OpenedSolver, solverContract } from './solver.contract.ts';
import { startSolverRedis, testWithoutRedis } from './solver-redis.ts';

const { redis, prefix } = await startSolverRedis();
const { signal } = new AbortController();

const config: Dns01ServerConfig = {
  name: 'dns',
  type: 'dns01-server',
  challenge: 'dns-01',
  listeners: [],
  zones: ['example.org'],
  nameServers: [{ name: 'ns1.example.net', addresses: [] }],
  hostmaster: undefined,
  ttl: 0,
  rateLimit: Number.POSITIVE_INFINITY,
  resolvers: [],
};

function openSolver(
  connection = redis[0],
  more: Partial<Dns01ServerConfig> = {},
  clock = systemClock,
): Solver {
  const parts = { store: { redis: connection, prefix }, clock, log: quietLog };
  const [solver] = openSolvers([{ ...config, ...more }], parts).values();
  assert.ok(solver);
  return solver;
}

/** Two workers and a responder, each with a connection of its own. */
const open = (zones: string[]) => async (): Promise<OpenedSolver> => {
  const records = openDnsRecords({ redis: redis[2], prefix }, systemClock);
  const outlast = <T>(ask: () => Promise<T>) => ask();
  const parts = { records, outlast, clock: systemClock, log: quietLog, metrics: openMetrics() };
  const { create } = dnsServers([{ ...config, zones }], parts);
  const listeners = await openListeners([{ host: '127.0.0.1', port: 0, explicit: true }], create, quietLog);
  const [at] = listeners.addresses;
  assert.ok(at);
  const ask = asking(at, { recursive: false, timeout: 60_000 });
  return {
    solver: openSolver(redis[0], { zones }),
    other: openSolver(redis[1], { zones }),
    async sees(response: ChallengeResponse) {
      const { name, value } = toDns01Record(response);
      const { answers } = await ask(name, 'TXT', signal);
      return answers.some(record => record.type === 'TXT' && record.name === name && record.value === value);
    },
    [Symbol.asyncDispose]: () => listeners[Symbol.asyncDispose](),
  };
};

const kind = () => ({
  challengeType: 'dns-01' as const,
  provable: ['example.org', '*.example.org'].map(value => ({ type: 'dns' as const, value })),
  unprovable: ['192.0.2.1', '2001:db8::1'].map(value => ({ type: 'ip' as const, value })),
});

solverContract('dns01-server', kind(), open(['example.org']));
solverContract('dns01-server without zones', kind(), open([]));

suite('dns01-server solver', () => {
  test('shows a wildcard and the name below it as two values of one name', async () => {
    await using opened = await open(['example.org'])();
    const [base, wildcard] = [newResponse(), newResponse('*.example.org')];
    for (const response of [base, wildcard]) await opened.solver.present(response, signal);
    assert.deepEqual([await opened.sees(base), await opened.sees(wildcard)], [true, true]);
    await opened.other.withdraw(base, signal);
    assert.deepEqual([await opened.sees(base), await opened.sees(wildcard)], [false, true]);
  });

  test('lets a record go by itself within hours, and starts that time anew when it is presented again', async () => {
    const response = newResponse();
    const key = valuesKey(prefix, '_acme-challenge.example.org');
    await redis[0].del(key);
    const look = async () => Number((await redis[0].zrange(key, '0', '-1', 'WITHSCORES'))[1]) - Date.now();
    await openSolver().present(response, signal);
    assert.ok((await look()) > 600_000 && (await look()) <= 3 * 3_600_000);
    assert.ok((await redis[0].pttl(key)) > 600_000);
    await redis[0].zadd(key, Date.now() + 5_000, toDns01Record(response).value);
    await openSolver().present(response, signal);
    assert.ok((await look()) > 600_000);
  });

  test('leaves nothing of a challenge in Redis but its TXT value and its name, and nothing at all once it is withdrawn', async () => {
    await redis[0].flushall();
    const response = newResponse('a.b.example.org');
    await openSolver().present(response, signal);
    const dump = JSON.stringify(await Promise.all((await redis[0].keys('*')).map(key => redis[0].dump(key))));
    assert.equal(dump.includes(response.keyAuthorization), false);
    await openSolver().withdraw(response, signal);
    assert.deepEqual(await redis[0].keys('*'), []);
  });

  test('tells what there is at several names and below them at once', async () => {
    await redis[0].flushall();
    const responses = ['a.b.example.org', 'c.example.org'].map(newResponse);
    for (const response of responses) await openSolver().present(response, signal);
    const records = openDnsRecords({ redis: redis[2], prefix }, systemClock);
    const names = ['_acme-challenge.c.example.org', 'b.example.org', 'none.example.org'];
    const value = responses[1] && toDns01Record(responses[1]).value;
    assert.deepEqual(await records.find(names), [
      { values: [value], isAbove: false },
      { values: [], isAbove: true },
      { values: [], isAbove: false },
    ]);
  });

  test('waits until nobody can remember what was there before, where a ttl lets them', async () => {
    const clock = turnedClock(Date.now());
    const solver = openSolver(redis[0], { ttl: 20 }, clock);
    const response = newResponse();
    await solver.present(response, signal);
    const missing = () => solver.propagation?.missing(response, signal);
    clock.turn(19_000);
    assert.match(
      (await missing()) ?? '',
      /^resolvers may remember what was at _acme-challenge\.example\.org before$/,
    );
    assert.ok((solver.propagation?.deadline ?? 0) > 20_000);
    clock.turn(1_000);
    assert.equal(await missing(), undefined);
    await solver.withdraw(response, signal);
    assert.equal(await missing(), 'the record _acme-challenge.example.org is lost');
    assert.equal(openSolver().propagation, undefined);
  });

  testWithoutRedis(openSolver);

  test('is unavailable when no resolver can tell where a name leads, and says which', async () => {
    const resolver = { host: '127.0.0.1', port: await freePort() };
    await assert.rejects(
      openSolver(redis[0], { resolvers: [resolver] }).present(newResponse('example.net'), signal),
      {
        name: 'IssuanceError',
        code: 'unavailable',
        message: new RegExp(`^DNS server 127.0.0.1:${resolver.port}: `),
      },
    );
  });
});
