import { Redis } from 'ioredis';
import { systemClock } from '../../shared/base/basics.ts';
import { openTlsAlpnResponses } from '../../shared/solver/tlsalpn01.ts';
import { freePort } from '../support/free-port.ts';
import { startProcess } from '../support/processes.ts';
import { startQuarry } from '../support/quarry.ts';
import { startRedis } from '../support/redis.ts';
import type { Figures } from './benchmark.ts';
import { compareLoad } from './load.ts';
import { responderConfiguration } from './responder.ts';

const name = 'www.bench.example';

/**
 * How many TLS-ALPN handshakes a responder answers in a second, beside a bare Node TLS server with one
 * certificate.
 */
export async function benchTlsAlpn(tell: (progress: string) => void): Promise<Figures> {
  await using stack = new AsyncDisposableStack();
  const redis = stack.use(await startRedis());
  const client = new Redis(redis.url);
  const responses = openTlsAlpnResponses({ redis: client, prefix: '{quarry}' }, systemClock);
  await responses.put([{ identifier: name, digest: 'd'.repeat(43) }]);
  client.disconnect();

  const port = await freePort();
  const verification = `type = tlsalpn01\nlistener = 127.0.0.1:${port}`;
  const quarry = stack.use(await startQuarry('responder', responderConfiguration(redis.url, verification)));
  const bare = stack.use(
    await startProcess(process.execPath, [`${import.meta.dirname}/bare-tls-server.ts`, name], {
      name: 'bare TLS server',
      ready: /listening on \d+/,
    }),
  );
  const besidePort = Number(/listening on (\d+)/.exec(bare.output())?.[1]);
  const load = { generator: 'tls-load-generator.ts', request: name, unit: 'handshakes/s' };
  const beside = 'a bare Node TLS server with one certificate in its memory';
  const targets = { quarry: { pid: quarry.pid, port }, beside: { pid: bare.pid, port: besidePort } };
  return await compareLoad(targets, load, beside, tell);
}
