import type { Figures, Tell } from './benchmark.ts';
import { runClients } from './clients.ts';
import { forkClient } from './forked-way.ts';
import { startGround } from './ground.ts';
import { makeCsrs, type NamedCsr } from './named-csrs.ts';
import { openQuarryWay } from './quarry-way.ts';
import { measureSideBySide } from './side-by-side.ts';
import { median, percentile } from './statistics.ts';
import { warmUpOrders } from './trials.ts';

const rounds = 80;
const limitMs = 10_000;
const aimMs = 10;

/**
 * What intake and queue add to an order, one at a time: orders in turn through Quarry and through its
 * transport and order engine alone, which poll at the same paces once they have learnt them, at the same CA
 * and with the same responder.
 */
export async function benchQueueOverhead(tell: Tell): Promise<Figures> {
  await using stack = new AsyncDisposableStack();
  const ground = await startGround(stack, 1);
  const ways = {
    quarry: await openQuarryWay(stack, ground),
    beside: await forkClient(stack, ground, 'direct'),
  };
  const csrs = await makeCsrs(2 * (warmUpOrders + rounds));
  const measure = (side: keyof typeof ways) => async () => {
    const csr = csrs.shift() as NamedCsr;
    const { latencies } = await runClients(1, [() => ways[side].sign(csr)], limitMs);
    return latencies[0] as number;
  };
  const sides = { quarry: measure('quarry'), beside: measure('beside') };
  await measureSideBySide(warmUpOrders, sides);
  const pairs = await measureSideBySide(rounds, sides);

  const [quarry, beside] = [pairs.map(pair => pair.quarry), pairs.map(pair => pair.beside)];
  const overhead = median(quarry) - median(beside);
  tell(`p50 ${median(quarry).toFixed(1)} ms, without a queue ${median(beside).toFixed(1)} ms`);
  return {
    value: overhead,
    unit: 'ms',
    beside: 'the aim; p50 and p99 are of whole orders, beside those without a queue',
    besideValue: aimMs,
    p50: median(quarry),
    p99: percentile(quarry, 0.99),
    besideP50: median(beside),
    besideP99: percentile(beside, 0.99),
    orders: rounds,
    medianOfDifferences: median(pairs.map(pair => pair.quarry - pair.beside)),
  };
}
