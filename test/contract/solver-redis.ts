import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import type { Redis } from '../../shared/base/redis.ts';
import type { Solver } from '../../shared/solver/solver.ts';
import { freePort } from '../support/free-port.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startOwnRedis } from './own-redis.ts';
import { newResponse } from './solver.contract.ts';

/** A Redis for the solvers of a test file, and three connections to it: of two workers and of a responder. */
export async function startSolverRedis() {
  const { redis, connect } = await startOwnRedis();
  return { redis: [redis, connect(), connect()] as const, prefix: '{quarry}' };
}

/** What a solver does that keeps what it presents in Redis. */
export const testWithoutRedis = (openSolver: (redis: Redis) => Solver): void =>
  void test('is unavailable without Redis', async () => {
    const away = openRedis({ url: `redis://127.0.0.1:${await freePort()}` }, 'impatient', quietLog);
    const { signal } = new AbortController();
    const unavailable = { name: 'IssuanceError', code: 'unavailable' };
    try {
      const solver = openSolver(away);
      await assert.rejects(solver.present(newResponse(), signal), unavailable);
      await assert.rejects(solver.withdraw(newResponse(), signal), unavailable);
    } finally {
      closeRedis(away);
    }
  });
