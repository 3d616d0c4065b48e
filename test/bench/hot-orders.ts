import type { Benchmark } from './benchmark.ts';
import { forkedWay } from './forked-way.ts';
import { fakeGround } from './ground.ts';
import { counted, hotAfter } from './orders.ts';
import { openQuarryWay, quarryOf } from './quarry-way.ts';
import { takeSideBySide } from './side-by-side.ts';
import { median, percentile } from './statistics.ts';
import {
  joinTrials,
  type Plan,
  runPlan,
  sortMeasured,
  toCpuPerOrder,
  toRate,
  toSample,
  warmUpOrders,
} from './trials.ts';

/** In steady state, at a CA that answers at once. */
const hotOrdersPlan = (keeps: boolean): Plan => ({
  ...{ startGround: fakeGround(keeps), clients: 16, before: hotAfter - warmUpOrders },
  ...{ trials: 10, orders: 48, counted },
});

/**
 * CPU time per order in steady state, with 16 in flight, at a CA that answers at once and fetches each
 * challenge three times; beside stock acme-client calls that keep nothing, with all processes alive and in
 * turn.
 *
 * @param keeps whether Quarry has a Redis storage that it renews ahead, limits that it counts, and a Redis
 *   with an append-only file
 */
export function hotOrdersBenchmark(keeps: boolean): Benchmark & { plan: Plan } {
  const plan = hotOrdersPlan(keeps);
  return {
    plan,
    async *subject(product) {
      for await (const measured of runPlan(plan, quarryOf(product))) yield toSample(measured);
    },
    async run(tell) {
      const pairs = await takeSideBySide({
        quarry: runPlan(plan, openQuarryWay),
        beside: runPlan(hotOrdersPlan(false), forkedWay('stock')),
      });
      const summarize = (side: 'quarry' | 'beside') => {
        const { trials, commands = Number.NaN } = sortMeasured(pairs.map(pair => pair[side]));
        const { latencies } = joinTrials(trials);
        const cpu = median(trials.map(toCpuPerOrder));
        const rate = median(trials.map(toRate));
        tell(`${side}: ${cpu.toFixed(1)} ms CPU an order, ${commands.toFixed(1)} Redis commands`);
        return { cpu, rate, commands, p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99) };
      };
      const [quarry, beside] = [summarize('quarry'), summarize('beside')];
      return {
        value: quarry.cpu,
        unit: 'ms CPU/order',
        beside: 'stock acme-client calls at such a CA, with the same responder',
        besideValue: beside.cpu,
        p50: quarry.p50,
        p99: quarry.p99,
        besideP50: beside.p50,
        besideP99: beside.p99,
        ordersPerSecond: quarry.rate,
        besideOrdersPerSecond: beside.rate,
        redisCommands: quarry.commands,
        besideRedisCommands: beside.commands,
        clients: plan.clients,
        hotAfter,
        held: {
          "CPU, times stock acme-client's": quarry.cpu / beside.cpu,
          'Redis commands an order': quarry.commands,
        },
        note: [
          `after ${hotAfter} orders`,
          `${quarry.commands.toFixed(1)} Redis commands an order, beside ${beside.commands.toFixed(1)}`,
          `${quarry.rate.toFixed(1)} orders/s, beside ${beside.rate.toFixed(1)}`,
        ].join('; '),
      };
    },
  };
}
