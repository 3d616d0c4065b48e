import { Redis } from 'ioredis';
import type { FaultProxy } from '../support/fault-proxy.ts';
import { openAutoClient } from './auto-client.ts';
import type { Benchmark } from './benchmark.ts';
import { inTime, runClients } from './clients.ts';
import { startProxiedGround } from './ground.ts';
import { makeCsrs, type NamedCsr } from './named-csrs.ts';
import { openQuarryWay } from './quarry-way.ts';
import { measureSideBySide } from './side-by-side.ts';
import { mean, percentile } from './statistics.ts';
import { warmUpOrders } from './trials.ts';

const rounds = 12;
const limitMs = 30_000;

/**
 * Requests of any kind that the CA gets for an order with so many names, one order at a time, when the
 * account is known and Quarry knows how long this CA takes.
 */
export function requestsBenchmark(names: 1 | 3): Benchmark {
  const run: Benchmark['run'] = async tell => {
    await using stack = new AsyncDisposableStack();
    const ground = await startProxiedGround(stack, 1);
    const quarry = await openQuarryWay(stack, ground);
    const redis = stack.adopt(new Redis(ground.redis.url), redis => redis.disconnect());
    const auto = await openAutoClient(ground.ca, redis);
    const csrs = await makeCsrs(warmUpOrders + 2 * rounds, names);
    const next = () => csrs.shift() as NamedCsr;

    await runClients(
      1,
      Array.from({ length: warmUpOrders }, next).map(csr => () => quarry.sign(csr)),
      limitMs,
    );
    const pairs = await measureSideBySide(rounds, {
      quarry: () => countRequests(ground.proxy, () => quarry.sign(next())),
      beside: () => countRequests(ground.proxy, () => auto(next())),
    });
    const of = (side: 'quarry' | 'beside', figure: keyof Counted) => pairs.map(pair => pair[side][figure]);
    tell(
      `quarry ${of('quarry', 'requests').join(' ')}, acme-client's auto ${of('beside', 'requests').join(' ')}`,
    );
    const least = 5 + 2 * names;
    return {
      value: mean(of('quarry', 'requests')),
      unit: 'requests/order',
      beside: "acme-client's auto, account known",
      besideValue: mean(of('beside', 'requests')),
      p50: percentile(of('quarry', 'milliseconds'), 0.5),
      p99: percentile(of('quarry', 'milliseconds'), 0.99),
      besideP50: percentile(of('beside', 'milliseconds'), 0.5),
      besideP99: percentile(of('beside', 'milliseconds'), 0.99),
      minimum: least,
      perOrder: of('quarry', 'requests'),
      besidePerOrder: of('beside', 'requests'),
      names,
      note: `RFC 8555 allows no fewer than ${least}`,
    };
  };
  return { run };
}

type Counted = { requests: number; milliseconds: number };

async function countRequests(proxy: FaultProxy, order: () => Promise<void>): Promise<Counted> {
  proxy.reset();
  const startedAt = performance.now();
  await inTime(order(), limitMs);
  return { requests: proxy.requests().length, milliseconds: performance.now() - startedAt };
}
