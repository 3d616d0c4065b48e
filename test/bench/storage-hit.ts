import { createHmac } from 'node:crypto';
import { Redis } from 'ioredis';
import { systemClock } from '../../shared/base/basics.ts';
import { openStoring } from '../../shared/base/storage-faults.ts';
import { readCsr } from '../../shared/pki/csr.ts';
import { openFileStorage } from '../../shared/storage/file.ts';
import { openRedisStorage } from '../../shared/storage/redis.ts';
import { freePort } from '../support/free-port.ts';
import { startQuarry } from '../support/quarry.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import { tempDir } from '../support/temp-dir.ts';
import type { Benchmark } from './benchmark.ts';
import { makeCertificate } from './certificate.ts';
import { compareLoad, httpLoad, loadSubject, type OpenLoad, startBareServer } from './load.ts';

const prefix = '{quarry}';
const storageName = 'bench';
const hmacKey = 'a key that client and server share';

const opening =
  (type: 'redis' | 'file'): OpenLoad<{ redisUrl: string; key: string }> =>
  async (stack, root) => {
    const { path: dir } = stack.use(await tempDir());
    const redis = stack.use(await startRedis());
    const { csrPem, chain } = await makeCertificate(dir, ['www.bench.example', 'bench.example']);
    const key = await fillStorages(redis.url, dir, csrPem, chain);
    const port = await freePort();
    const ini = configuration({ type, dir, port, redisUrl: redis.url });
    const { pid } = stack.use(await startQuarry('intake', ini, { root }));
    return { target: { pid, port }, load: httpLoad(toRequest(csrPem)), redisUrl: redis.url, key };
  };

/**
 * How many posts with an HMAC an intake answers from storage in a second, with its log at the default level
 * in a file. The server beside it reads a Redis key, also where Quarry reads files.
 */
export function storageHit(type: 'redis' | 'file'): Benchmark {
  const open = opening(type);
  return {
    subject: loadSubject(open),
    async run(tell) {
      await using stack = new AsyncDisposableStack();
      const { target, load, redisUrl, key } = await open(stack);
      const bare = stack.use(await startBareServer(redisUrl, key));
      const beside = 'bare node:http that reads the body and GETs the same Redis key';
      const figures = await compareLoad({ quarry: target, beside: bare }, load, beside, tell);
      return { ...figures, unit: 'posts/s', storage: type };
    },
  };
}

/** Answers the Redis key that both servers read. */
async function fillStorages(
  redisUrl: string,
  directory: string,
  csrPem: string,
  chain: string,
): Promise<string> {
  const csr = readCsr(Buffer.from(csrPem));
  const clock = { clock: systemClock, log: quietLog };
  const parts = { ...clock, ...openStoring(clock) };
  const issuedBy = { account: 'default', directory: 'https://127.0.0.1:1/dir' };
  await openFileStorage({ name: storageName, directory, renewWithin: 14, renewAhead: false }, parts).put(
    csr,
    chain,
    issuedBy,
  );
  const redis = new Redis(redisUrl);
  await openRedisStorage(
    { name: storageName, renewWithin: 14, renewAhead: false, keepExpired: 30 },
    { store: { redis, prefix }, ...parts },
  ).put(csr, chain, issuedBy);
  const [key = ''] = await redis.keys('*');
  redis.disconnect();
  return key;
}

function toRequest(csrPem: string): string {
  const digest = createHmac('sha256', hmacKey).update(csrPem).digest('hex');
  const head = [
    'POST /sign HTTP/1.1',
    'Host: quarry.example',
    'User-Agent: curl/8.14.1',
    'Accept: */*',
    `Authentication: hmac name=sha256, hash=${digest}`,
    'Content-Type: application/x-www-form-urlencoded',
    `Content-Length: ${Buffer.byteLength(csrPem)}`,
  ];
  return `${head.join('\r\n')}\r\n\r\n${csrPem}`;
}

type Setting = { type: 'redis' | 'file'; dir: string; port: number; redisUrl: string };

function configuration({ type, dir, port, redisUrl }: Setting): string {
  return `[account]
acme-server = https://127.0.0.1:1/dir
accept-terms-of-service = yes
dir = ${dir}/account

[mgmt]
listener = 127.0.0.1:${port}

[verification "http"]
type = http01

[storage "${storageName}"]
type = ${type}
${type === 'file' ? `directory = ${dir}` : ''}

[auth "web"]
ip = 127.0.0.0/8
hmac_type = sha256
hmac_key = ${hmacKey}
domain = bench.example
domain = *.bench.example
storage = ${storageName}

[logging]
destination = ${dir}/quarry.log

[redis]
url = ${redisUrl}
prefix = ${prefix}
`;
}
