import { freePort } from '../support/free-port.ts';
import { startPebble } from '../support/pebble.ts';
import { startQuarry } from '../support/quarry.ts';
import { startRedis } from '../support/redis.ts';
import { tlsAuthority } from '../support/tls-authority.ts';
import type { AcmeWork } from './acme-load-generator.ts';
import type { Benchmark } from './benchmark.ts';
import { compareLoad, type Load, loadSubject, type OpenLoad } from './load.ts';
import { responderConfiguration } from './responder.ts';

/** Pebble's path. */
const pebbleDirectory = '/dir';

const toLoad = (kind: AcmeWork['kind'], directories: AcmeWork['directories'], caFile: string): Load => ({
  generator: 'acme-load-generator.ts',
  request: JSON.stringify({ kind, directories, caFile } satisfies AcmeWork),
  unit: `${kind} requests/s`,
  // It makes 32 accounts, and 64 whole handshakes.
  ...{ warmUpMs: 2_000, measureMs: 2_000 },
});

/** An intake that ends TLS itself, as Pebble does. */
const opening =
  (kind: AcmeWork['kind']): OpenLoad<{ caFile: string }> =>
  async (stack, root) => {
    const { caFile, certFile, keyFile } = await tlsAuthority();
    const redis = stack.use(await startRedis());
    const port = await freePort();
    const sections = `[mgmt]
listener = 127.0.0.1:${port}
tls-cert = ${certFile}
tls-key = ${keyFile}
[acme]
url = https://127.0.0.1:${port}/acme
new-accounts = off
`;
    const ini = sections + responderConfiguration(redis.url, 'type = http01');
    const { pid } = stack.use(await startQuarry('intake', ini, { root }));
    const load = toLoad(kind, { [port]: '/acme/directory' }, caFile);
    return { target: { pid, also: [redis.pid], port }, load, caFile };
  };

/**
 * How many requests of a kind one core answers in a second: an intake's with its Redis, beside Pebble's, by
 * the CPU time that an answer takes, TLS and all.
 */
export function acmeServerBenchmark(kind: AcmeWork['kind']): Benchmark {
  const open = opening(kind);
  return {
    subject: loadSubject(open),
    async run(tell) {
      await using stack = new AsyncDisposableStack();
      const { target, caFile } = await open(stack);
      const pebble = stack.use(await startPebble({ httpPort: await freePort() }));
      const beside = { pid: pebble.pid, port: Number(new URL(pebble.directoryUrl).port) };
      const directories = { [target.port]: '/acme/directory', [beside.port]: pebbleDirectory };
      const load = toLoad(kind, directories, caFile);
      const figures = await compareLoad({ quarry: target, beside }, load, 'Pebble', tell);
      const perCore = (microseconds: unknown) => 1e6 / Number(microseconds);
      return {
        ...figures,
        value: perCore(figures.cpuMicroseconds),
        besideValue: perCore(figures.besideCpuMicroseconds),
        unit: `${kind} requests/s of a core`,
        wholeRate: figures.value,
        besideWholeRate: figures.besideValue,
      };
    },
  };
}
