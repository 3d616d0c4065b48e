import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite, test } from 'node:test';
import { http01 } from '../../shared/solver/http01.ts';
import { openKeptFaults } from '../../shared/solver/kept-faults.ts';
import type { ChallengeResponse, Solver } from '../../shared/solver/solver.ts';
import { quietLog } from '../support/quiet-log.ts';
import { turnedClock } from '../support/turned-clock.ts';
import { startOwnRedis } from './own-redis.ts';

const { redis, newStore } = await startOwnRedis();
const { signal } = new AbortController();

const responseFor = (token: string): ChallengeResponse => ({
  identifier: { type: 'ip', value: '127.0.0.1' },
  token,
  keyAuthorization: `${token}.thumbprint`,
});

suite('what a look found wrong', () => {
  test('is told by every process, and only of what was looked at', async () => {
    const store = newStore();
    const one = openKeptFaults(store, async () => 'no answer within 5 seconds');
    const other = openKeptFaults(store, async () => undefined);
    await one.look(responseFor('a'), signal);
    await other.look(responseFor('b'), signal);
    assert.equal(await other.faultOf(responseFor('a')), 'no answer within 5 seconds');
    assert.equal(await one.faultOf(responseFor('b')), undefined);
    assert.ok((await redis.ttl(`${store.prefix}:look-fault:a`)) > 0);
  });

  test('stays one short line, whatever somebody has written into Redis', async () => {
    const store = newStore();
    const { faultOf } = openKeptFaults(store, async () => undefined);
    await redis.set(`${store.prefix}:look-fault:a`, `one\r\nX-Other: header\u2028${'x'.repeat(5_000)}`);
    const fault = (await faultOf(responseFor('a'))) ?? '';
    assert.match(fault, /^one X-Other: header x+$/);
    assert.ok(fault.length <= 1_000);
  });

  test('is no answer that came once the response was withdrawn', async () => {
    const store = newStore();
    let answer = () => {};
    const asked = new Promise<void>(resolve => {
      server.on('request', (_, response) => {
        answer = () => void response.writeHead(404).end();
        resolve();
      });
    });
    await using open = await startSolver(store);
    const { solver } = open;
    const response = responseFor('a');
    await solver.present(response, signal);
    const looking = solver.selfCheck?.look(response, signal);
    await asked;
    await solver.withdraw(response, signal);
    answer();
    assert.equal(await looking, undefined);
    await solver.present(response, signal);
    server.removeAllListeners('request').on('request', (_, later) => void later.writeHead(404).end());
    assert.match((await solver.selfCheck?.look(response, signal)) ?? '', /did not see its response/);
  });
});

const server = createServer();

async function startSolver(
  store: ReturnType<typeof newStore>,
): Promise<AsyncDisposable & { solver: Solver }> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const selfCheck = { mode: 'warn' as const, port, resolvers: [], networks: ['127.0.0.0/8'] };
  const config = { name: 'http', type: 'http01', challenge: 'http-01', listeners: [], selfCheck } as const;
  const solver = http01.open({ ...config, listeners: [] }, { store, clock: turnedClock(0), log: quietLog });
  return {
    solver,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise(resolve => server.close(resolve));
    },
  };
}
