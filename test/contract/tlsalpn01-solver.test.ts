import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { suite, test } from 'node:test';
import { tlsAlpnServers } from '../../services/responder/tls-alpn-server.ts';
import { systemClock } from '../../shared/base/basics.ts';
import { openListeners } from '../../shared/base/listeners.ts';
import { openMetrics } from '../../shared/base/metrics.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { openSolvers } from '../../shared/solver/kinds.ts';
import type { ChallengeResponse, Solver } from '../../shared/solver/solver.ts';
import { openTlsAlpnResponses } from '../../shared/solver/tlsalpn01.ts';
import { lookAtAcmeTls, readAcmeIdentifier } from '../support/acme-tls.ts';
import { freePort } from '../support/free-port.ts';
import { quietLog } from '../support/quiet-log.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { newResponse, type OpenedSolver, solverContract } from './solver.contract.ts';
import { startSolverRedis } from './solver-redis.ts';

const { redis, prefix } = await startSolverRedis();
const { signal } = new AbortController();

function openSolver(connection = redis[0], clock = systemClock): Solver {
  const [solver] = openSolvers(
    [{ name: 'tls', type: 'tlsalpn01', challenge: 'tls-alpn-01', listeners: [] }],
    {
      store: { redis: connection, prefix },
      clock,
      log: quietLog,
    },
  ).values();
  assert.ok(solver);
  return solver;
}

const toDigest = ({ keyAuthorization }: ChallengeResponse) =>
  createHash('sha256').update(keyAuthorization).digest('base64url');

/** Two workers and a responder, each with a connection of its own. */
async function open(): Promise<OpenedSolver> {
  const responses = openTlsAlpnResponses({ redis: redis[2], prefix }, systemClock);
  const servers = tlsAlpnServers({
    isProxy: () => true,
    responses,
    clock: systemClock,
    log: quietLog,
    metrics: openMetrics(),
  });
  const listeners = await openListeners([{ host: '127.0.0.1', port: 0, explicit: true }], servers, quietLog);
  const port = listeners.addresses[0]?.port ?? 0;
  return {
    solver: openSolver(redis[0]),
    other: openSolver(redis[1]),
    async sees(response: ChallengeResponse) {
      const seen = await lookAtAcmeTls(port, response.identifier.value);
      return 'certificate' in seen && readAcmeIdentifier(seen.certificate) === toDigest(response);
    },
    async [Symbol.asyncDispose]() {
      await listeners[Symbol.asyncDispose]();
      await redis[0].flushall();
    },
  };
}

const kind = {
  challengeType: 'tls-alpn-01' as const,
  provable: [
    { type: 'dns' as const, value: 'example.org' },
    { type: 'ip' as const, value: '192.0.2.1' },
    { type: 'ip' as const, value: '2001:db8::1' },
  ],
  unprovable: [{ type: 'dns' as const, value: '*.example.org' }],
  oneAtATime: true as const,
};

solverContract('tlsalpn01', kind, open);

suite('tlsalpn01 solver', () => {
  test('puts no more than the hash of a key authorization into Redis, and lets it go by itself within hours', async () => {
    const response = newResponse();
    await openSolver().present(response, signal);
    const [key = '', ...others] = await redis[0].keys('*');
    assert.deepEqual(others, []);
    assert.deepEqual(await redis[0].zrange(key, '0', '-1'), [toDigest(response)]);
    const seconds = await redis[0].ttl(key);
    assert.ok(seconds > 600 && seconds <= 3 * 3_600, `${seconds}`);
    await openSolver().withdraw(response, signal);
    assert.deepEqual(await redis[0].keys('*'), []);
  });

  test('lets orders for the same names go one after the other, in whichever order they have them', async () => {
    const [solver, other] = [openSolver(redis[0]), openSolver(redis[1])];
    const orders = [
      { by: solver, responses: ['a.example.org', 'b.example.org'].map(newResponse) },
      { by: other, responses: ['b.example.org', 'a.example.org'].map(newResponse) },
    ];
    const presenting = orders.map(({ by, responses }) =>
      Promise.all(responses.map(one => by.present(one, signal))),
    );
    await Promise.all(presenting);
    const mayGo = async ({ by, responses }: (typeof orders)[number]) => {
      const missing = await Promise.all(responses.map(one => by.propagation?.missing(one, signal)));
      return missing.every(one => one === undefined);
    };
    assert.deepEqual((await Promise.all(orders.map(mayGo))).sort(), [false, true]);
    const responses = orders.flatMap(order => order.responses);
    await Promise.all(responses.map(response => solver.withdraw(response, signal)));
  });

  test('puts nobody whose clock is behind before others', async () => {
    const [first, second] = [newResponse(), newResponse()];
    await openSolver(redis[0]).present(first, signal);
    const behind = openSolver(redis[1], turnedClock(Date.now() - 60_000));
    await behind.present(second, signal);
    assert.equal(await openSolver().propagation?.missing(first, signal), undefined);
    for (const response of [first, second]) await behind.withdraw(response, signal);
    assert.equal(await behind.propagation?.missing(first, signal), 'the response for example.org is lost');
  });

  test('does not wait for ever behind a response that nobody has withdrawn', async () => {
    const clock = turnedClock(Date.now());
    const solver = openSolver(redis[0], clock);
    const [left, next] = [newResponse(), newResponse()];
    await solver.present(left, signal);
    await solver.present(next, signal);
    clock.turn(200_000);
    assert.notEqual(await solver.propagation?.missing(next, signal), undefined);
    clock.turn(200_000);
    assert.equal(await solver.propagation?.missing(next, signal), undefined);
    for (const response of [left, next]) await solver.withdraw(response, signal);
  });

  test('is unavailable without Redis', async () => {
    const away = openRedis({ url: `redis://127.0.0.1:${await freePort()}` }, 'impatient', quietLog);
    try {
      const solver = openSolver(away);
      await assert.rejects(solver.present(newResponse(), signal), {
        name: 'IssuanceError',
        code: 'unavailable',
      });
      await assert.rejects(solver.withdraw(newResponse(), signal), {
        name: 'IssuanceError',
        code: 'unavailable',
      });
    } finally {
      closeRedis(away);
    }
  });
});
