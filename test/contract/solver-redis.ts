import { after } from 'node:test';
import { closeRedis, openRedis } from '../../shared/base/redis.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';

/** A Redis for the solvers of a test file, and three connections to it: of two workers and of a responder. */
export async function startSolverRedis() {
  const server = await startRedis();
  const connect = () => openRedis(server.url, 'patient', quietLog);
  const redis = [connect(), connect(), connect()] as const;
  after(async () => {
    redis.forEach(closeRedis);
    await server[Symbol.asyncDispose]();
  });
  return { redis, prefix: '{quarry}' };
}
