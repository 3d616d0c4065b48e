import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { systemClock } from '../../shared/base/basics.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { challengeKey, implicitVerification, openChallengeResponses } from '../../shared/solver/http01.ts';
import { openSolvers } from '../../shared/solver/kinds.ts';
import type { Solver } from '../../shared/solver/solver.ts';
import { serveHttp01 } from '../services/responder/open-http01.ts';
import { freePort } from '../support/free-port.ts';
import { quietLog } from '../support/quiet-log.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { newResponse, type OpenedSolver, solverContract } from './solver.contract.ts';
import { startSolverRedis } from './solver-redis.ts';

const { redis, prefix } = await startSolverRedis();
const { signal } = new AbortController();

function openHttp01(connection = redis[0]): Solver {
  const [solver] = openSolvers([{ ...implicitVerification, name: 'http' }], {
    store: { redis: connection, prefix },
    clock: systemClock,
    log: quietLog,
  }).values();
  assert.ok(solver);
  return solver;
}

/** Two workers and a responder, each with a connection of its own. */
async function open(): Promise<OpenedSolver> {
  const clock = turnedClock(Date.now());
  const responses = openChallengeResponses({ redis: redis[2], prefix });
  const responder = await serveHttp01({ responses, clock });
  return {
    solver: openHttp01(redis[0]),
    other: openHttp01(redis[1]),
    async sees({ token, keyAuthorization }) {
      clock.turn(3_000); // it remembers what it has found for a moment
      const answer = await fetch(`${responder.url}/.well-known/acme-challenge/${token}`);
      return answer.status === 200 && (await answer.text()) === keyAuthorization;
    },
    [Symbol.asyncDispose]: () => responder[Symbol.asyncDispose](),
  };
}

const kind = {
  challengeType: 'http-01',
  provable: [
    { type: 'dns', value: 'example.org' },
    { type: 'dns', value: 'xn--bcher-kva.example.org' },
    { type: 'ip', value: '192.0.2.1' },
    { type: 'ip', value: '2001:db8::1' },
  ],
  unprovable: [{ type: 'dns', value: '*.example.org' }],
} as const;

solverContract('http01', { ...kind, provable: [...kind.provable], unprovable: [...kind.unprovable] }, open);

suite('http01 solver', () => {
  test('lets a response go by itself within hours, when nobody withdraws it', async () => {
    const response = newResponse();
    await openHttp01().present(response, signal);
    const seconds = await redis[0].ttl(challengeKey(prefix, response.token));
    assert.ok(seconds > 600 && seconds <= 3 * 3_600, `${seconds}`);
  });

  test('starts that time anew when a response is presented again', async () => {
    const response = newResponse();
    const key = challengeKey(prefix, response.token);
    await openHttp01().present(response, signal);
    await redis[0].expire(key, 5);
    await openHttp01().present(response, signal);
    assert.ok((await redis[0].ttl(key)) > 600);
  });

  test('looks by one command for all responses that are asked for together, and for each once', async () => {
    const [one, other] = [newResponse(), newResponse()];
    for (const response of [one, other]) await openHttp01().present(response, signal);
    const responses = openChallengeResponses({ redis: redis[2], prefix });
    await redis[0].config('RESETSTAT');
    const asked = [one.token, other.token, one.token, 'a-token-that-nobody-put', one.token];
    const { keyAuthorization } = one;
    assert.deepEqual(await Promise.all(asked.map(token => responses.get(token))), [
      keyAuthorization,
      other.keyAuthorization,
      keyAuthorization,
      null,
      keyAuthorization,
    ]);
    const sent = [...(await redis[0].info('commandstats')).matchAll(/cmdstat_(m?get):calls=(\d+)/g)];
    assert.deepEqual(
      sent.map(([, command, calls]) => [command, calls]),
      [['mget', '1']],
    );
    await openHttp01().withdraw(one, signal);
    assert.equal(await responses.get(one.token), null);
  });

  test('is unavailable without Redis', async () => {
    const away = openRedis({ url: `redis://127.0.0.1:${await freePort()}` }, 'impatient', quietLog);
    try {
      const solver = openHttp01(away);
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
