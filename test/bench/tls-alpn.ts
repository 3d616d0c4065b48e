import { Redis } from 'ioredis';
import { systemClock } from '../../shared/base/basics.ts';
import { openTlsAlpnResponses } from '../../shared/solver/tlsalpn01.ts';
import { freePort } from '../support/free-port.ts';
import { startProcess } from '../support/processes.ts';
import { startQuarry } from '../support/quarry.ts';
import { startRedis } from '../support/redis.ts';
import type { Benchmark } from './benchmark.ts';
import { compareLoad, loadSubject, type OpenLoad } from './load.ts';
import { responderConfiguration } from './responder.ts';

const name = 'www.bench.example';

const open: OpenLoad = async (stack, root) => {
  const redis = stack.use(await startRedis());
  const client = new Redis(redis.url);
  const responses = openTlsAlpnResponses({ redis: client, prefix: '{quarry}' }, systemClock);
  await responses.put([{ identifier: name, digest: 'd'.repeat(43) }]);
  client.disconnect();

  const port = await freePort();
  const ini = responderConfiguration(redis.url, `type = tlsalpn01\nlistener = 127.0.0.1:${port}`);
  const { pid } = stack.use(await startQuarry('responder', ini, { root }));
  const load = { generator: 'tls-load-generator.ts', request: name, unit: 'handshakes/s' };
  return { target: { pid, port }, load };
};

/**
 * How many TLS-ALPN handshakes a responder answers in a second, beside a bare Node TLS server with one
 * certificate.
 */
export const benchTlsAlpn: Benchmark = {
  subject: loadSubject(open),
  async run(tell) {
    await using stack = new AsyncDisposableStack();
    const { target, load } = await open(stack);
    const bare = stack.use(
      await startProcess(process.execPath, [`${import.meta.dirname}/bare-tls-server.ts`, name], {
        name: 'bare TLS server',
        ready: /listening on \d+/,
      }),
    );
    const port = Number(/listening on (\d+)/.exec(bare.output())?.[1]);
    const beside = 'a bare Node TLS server with one certificate in its memory';
    return await compareLoad({ quarry: target, beside: { pid: bare.pid, port } }, load, beside, tell);
  },
};
