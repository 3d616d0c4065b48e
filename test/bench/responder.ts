import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { challengeKey } from '../../shared/solver/http01.ts';
import { freePort } from '../support/free-port.ts';
import { startQuarry } from '../support/quarry.ts';
import { startRedis } from '../support/redis.ts';
import type { Benchmark } from './benchmark.ts';
import { compareLoad, httpLoad, loadSubject, type OpenLoad, startBareServer } from './load.ts';

const prefix = '{quarry}';

const open: OpenLoad<{ redisUrl: string; key: string }> = async (stack, root) => {
  const redis = stack.use(await startRedis());
  const token = randomBytes(32).toString('base64url');
  const key = challengeKey(prefix, token);
  await writeKeyAuthorization(redis.url, key, `${token}.${randomBytes(32).toString('base64url')}`);
  const port = await freePort();
  const ini = responderConfiguration(redis.url, `type = http01\nlistener = 127.0.0.1:${port}`);
  const { pid } = stack.use(await startQuarry('responder', ini, { root }));
  const request = `GET /.well-known/acme-challenge/${token} HTTP/1.1\r\nHost: bench.example\r\n\r\n`;
  return { target: { pid, port }, load: httpLoad(request), redisUrl: redis.url, key };
};

/**
 * How many challenges a responder answers in a second. The design wants 80 % of what bare `node:http` does.
 */
export const benchResponder: Benchmark = {
  subject: loadSubject(open),
  async run(tell) {
    await using stack = new AsyncDisposableStack();
    const { target, load, redisUrl, key } = await open(stack);
    const bare = stack.use(await startBareServer(redisUrl, key));
    const beside = 'bare node:http that GETs the same Redis key';
    return await compareLoad({ quarry: target, beside: bare }, load, beside, tell);
  },
};

async function writeKeyAuthorization(redisUrl: string, key: string, keyAuthorization: string): Promise<void> {
  const redis = new Redis(redisUrl);
  await redis.set(key, keyAuthorization);
  redis.disconnect();
}

/** @param verification the lines of the one verification block */
export function responderConfiguration(redisUrl: string, verification: string): string {
  return `[account]
acme-server = https://127.0.0.1:1/dir
accept-terms-of-service = yes
dir = account

[verification "bench"]
${verification}

[auth "all"]
all = yes
domain = *

[redis]
url = ${redisUrl}
prefix = ${prefix}
`;
}
