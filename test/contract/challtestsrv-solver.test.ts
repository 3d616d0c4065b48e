import assert from 'node:assert/strict';
import { Resolver } from 'node:dns/promises';
import { after, suite, test } from 'node:test';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { openChalltestsrvSolver } from '../../shared/solver/challtestsrv.ts';
import { toDns01Record } from '../../shared/solver/dns01-record.ts';
import { startChalltestsrv } from '../support/challtestsrv.ts';
import { freePort } from '../support/free-port.ts';
import { listen } from '../support/listen.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { newResponse, type OpenedSolver, solverContract } from './solver.contract.ts';

const server = await startRedis();
const redis = [1, 2].map(() => openRedis({ url: server.url }, 'patient', quietLog));
const challtestsrv = await startChalltestsrv();
after(async () => {
  redis.forEach(closeRedis);
  await challtestsrv[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});
const { signal } = new AbortController();

function openSolver(connection = redis[0], setTxtUrl = `${challtestsrv.managementUrl}/set-txt`) {
  assert.ok(connection);
  return openChalltestsrvSolver(
    { name: 'test', type: 'dns01-challtestsrv', challenge: 'dns-01', setTxtUrl },
    { store: { redis: connection, prefix: '{quarry}' } },
  );
}

async function valuesOf(name: string): Promise<string[]> {
  const resolver = new Resolver();
  resolver.setServers([challtestsrv.dnsServer]);
  const records = await resolver.resolveTxt(name).catch((): string[][] => []);
  return records.map(strings => strings.join(''));
}

async function open(): Promise<OpenedSolver> {
  return {
    solver: openSolver(redis[0]),
    other: openSolver(redis[1]),
    async sees(response) {
      const { name, value } = toDns01Record(response);
      return (await valuesOf(name)).includes(value);
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

solverContract(
  'dns01-challtestsrv',
  {
    challengeType: 'dns-01',
    provable: [
      { type: 'dns', value: 'example.org' },
      { type: 'dns', value: '*.example.org' },
    ],
    unprovable: [{ type: 'ip', value: '192.0.2.1' }],
  },
  open,
);

suite('dns01-challtestsrv solver', () => {
  test('leaves nothing of many orders for one name, begun and ended at once', async () => {
    const [solver, other] = [openSolver(redis[0]), openSolver(redis[1])];
    const responses = Array.from({ length: 20 }, () => newResponse('busy.example.org'));
    await Promise.all(
      responses.map(async (response, index) => {
        await (index % 2 ? solver : other).present(response, signal);
        await (index % 3 ? solver : other).withdraw(response, signal);
      }),
    );
    assert.deepEqual(await valuesOf('_acme-challenge.busy.example.org'), []);
  });

  test('is unavailable where challtestsrv is, and says so', async () => {
    const port = await freePort();
    await assert.rejects(
      openSolver(redis[0], `http://127.0.0.1:${port}/set-txt`).present(newResponse(), signal),
      {
        name: 'IssuanceError',
        code: 'unavailable',
        message: new RegExp(`^challtestsrv at http://127.0.0.1:${port}: .*ECONNREFUSED`),
      },
    );
    await using wrong = await listen((_, response) => response.writeHead(404).end());
    await assert.rejects(openSolver(redis[0], `${wrong.url}/set-txt`).present(newResponse(), signal), {
      message: `challtestsrv at ${wrong.url}: status 404`,
    });
  });

  test("rejects with its signal's reason", async () => {
    const reason = new Error('the worker has stopped');
    await assert.rejects(openSolver().present(newResponse(), AbortSignal.abort(reason)), reason);
  });
});
