import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { challengeKey } from '../../shared/solver/http01.ts';
import { freePort } from '../support/free-port.ts';
import { startQuarry } from '../support/quarry.ts';
import { startRedis } from '../support/redis.ts';
import type { Figures } from './benchmark.ts';
import { compareLoad, httpLoad, startBareServer } from './load.ts';

const prefix = '{quarry}';

/**
 * How many challenges a responder answers in a second. The design wants 80 % of what bare `node:http` does.
 */
export async function benchResponder(tell: (progress: string) => void): Promise<Figures> {
  await using stack = new AsyncDisposableStack();
  const redis = stack.use(await startRedis());
  const token = randomBytes(32).toString('base64url');
  const key = challengeKey(prefix, token);
  await writeKeyAuthorization(redis.url, key, `${token}.${randomBytes(32).toString('base64url')}`);

  const port = await freePort();
  const quarry = stack.use(
    await startQuarry(
      'responder',
      responderConfiguration(redis.url, `type = http01\nlistener = 127.0.0.1:${port}`),
    ),
  );
  const bare = stack.use(await startBareServer(redis.url, key));
  const request = `GET /.well-known/acme-challenge/${token} HTTP/1.1\r\nHost: bench.example\r\n\r\n`;
  const beside = 'bare node:http that GETs the same Redis key';
  return await compareLoad(
    { quarry: { pid: quarry.pid, port }, beside: bare },
    httpLoad(request),
    beside,
    tell,
  );
}

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
