import { encode } from 'dns-packet';
import { Redis } from 'ioredis';
import { valuesKey } from '../../shared/solver/dns-records.ts';
import { startBind } from '../support/bind.ts';
import { freePort } from '../support/free-port.ts';
import { startQuarry } from '../support/quarry.ts';
import { startRedis } from '../support/redis.ts';
import type { Benchmark } from './benchmark.ts';
import { compareLoad, loadSubject, type OpenLoad } from './load.ts';
import { responderConfiguration } from './responder.ts';

const zone = 'acme.bench.example';
const name = `www.${zone}`;
const value = 'v'.repeat(43);

const open: OpenLoad = async (stack, root) => {
  const redis = stack.use(await startRedis());
  const client = new Redis(redis.url);
  await client.zadd(valuesKey('{quarry}', name), Date.now() + 3_600_000, value);
  client.disconnect();

  const port = await freePort();
  const verification = `type = dns01-server
listener = 127.0.0.1:${port}
zone = ${zone}
ns = ns1.bench.example
rate-limit = off`;
  const ini = responderConfiguration(redis.url, verification);
  const { pid } = stack.use(await startQuarry('responder', ini, { root }));
  const question = encode({ type: 'query', id: 1, questions: [{ type: 'TXT', name }] });
  const request = question.toString('base64');
  const load = { generator: 'dns-load-generator.ts', request, unit: 'answers/s' };
  return { target: { pid, port }, load };
};

/**
 * How many questions for a TXT record a responder answers in a second over UDP, beside a BIND that has it in
 * its zone.
 */
export const benchDnsResponder: Benchmark = {
  subject: loadSubject(open),
  async run(tell) {
    await using stack = new AsyncDisposableStack();
    const { target, load } = await open(stack);
    const bind = stack.use(await startBind({ zones: [{ name: zone, records: [`www TXT "${value}"`] }] }));
    const beside = 'BIND with one thread, from a zone in its memory';
    return await compareLoad({ quarry: target, beside: bind }, load, beside, tell);
  },
};
