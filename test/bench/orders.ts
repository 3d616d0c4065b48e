import type { Benchmark } from './benchmark.ts';
import { forkedWay } from './forked-way.ts';
import { startGround } from './ground.ts';
import { openQuarryWay, quarryOf } from './quarry-way.ts';
import { measureSideBySide } from './side-by-side.ts';
import type { OpenWay } from './signer.ts';
import { median, percentile } from './statistics.ts';
import {
  type Collected,
  collectTrials,
  noteRepeats,
  type Plan,
  runPlan,
  type Trial,
  toCaCpuPerOrder,
  toCpuPerOrder,
  toRate,
  toSample,
  warmUpOrders,
} from './trials.ts';

/** Hot is what has done so many orders. */
export const hotAfter = 650;
/** Those whose commands to Redis are counted. */
export const counted = 20;

export type OrdersOptions = {
  clients: number;
  /** That are measured cold, and as many hot. */
  orders: number;
  rounds: number;
  /** Into which the cold ones are cut where two trees are compared. */
  pieces: number;
};

const coldPlan = ({ clients, orders }: OrdersOptions, pieces: number): Plan => ({
  ...{ startGround, clients, trials: pieces, orders: orders / pieces },
});

const hotPlan = (options: OrdersOptions): Plan => ({
  ...coldPlan(options, 1),
  ...{ before: hotAfter - warmUpOrders, counted },
});

/**
 * CPU time per order with so many in flight, from POST to certificate, and orders a second: through Quarry,
 * each role a process; through its transport and order engine alone, in one process; and by stock acme-client
 * calls. All of them with Redis and the responder. The design wants 70 % of the orders a second of the second
 * way, and five times those of the third.
 */
export function ordersBenchmark(options: OrdersOptions): Benchmark & { plan: Plan } {
  const plan = coldPlan(options, options.pieces);
  return {
    plan,
    rounds: options.rounds,
    async *subject(product) {
      for await (const measured of runPlan(plan, quarryOf(product))) yield toSample(measured);
    },
    async run(tell) {
      const collect = (what: string, plan: Plan, open: OpenWay) => () =>
        collectTrials(plan, open, progress => tell(`${what}: ${progress}`));
      const cold = coldPlan(options, 1);
      const rounds = await measureSideBySide(options.rounds, {
        quarry: collect('quarry', cold, openQuarryWay),
        direct: collect('without queue and intake', cold, forkedWay('direct')),
        stock: collect('stock acme-client', cold, forkedWay('stock')),
      });
      const hot = await collect('quarry', hotPlan(options), openQuarryWay)();
      const of = (side: 'quarry' | 'direct' | 'stock') => summarize(rounds.map(round => round[side].trial));
      const ways = { quarry: of('quarry'), direct: of('direct'), stock: of('stock') };
      const { repeatedRuns, notes } = noteRepeats([...rounds.flatMap(round => Object.values(round)), hot]);
      return toFigures(ways, hot, { clients: options.clients, orders: options.orders, repeatedRuns, notes });
    },
  };
}

type Summary = ReturnType<typeof summarize>;

const summarize = (trials: readonly Trial[]) => ({
  rate: median(trials.map(toRate)),
  cpu: median(trials.map(toCpuPerOrder)),
  caCpu: median(trials.map(toCaCpuPerOrder)),
  p50: percentile(
    trials.flatMap(({ latencies }) => latencies),
    0.5,
  ),
  p99: percentile(
    trials.flatMap(({ latencies }) => latencies),
    0.99,
  ),
});

type Circumstances = { clients: number; orders: number; repeatedRuns: number; notes: string[] };

function toFigures(
  { quarry, direct, stock }: Record<'quarry' | 'direct' | 'stock', Summary>,
  { trial, commands = Number.NaN }: Collected,
  { clients, orders, repeatedRuns, notes }: Circumstances,
) {
  const hot = summarize([trial]);
  return {
    value: quarry.cpu,
    unit: 'ms CPU/order',
    beside:
      'the same transport and order engine without queue and intake, in one process, with the same responder',
    besideValue: direct.cpu,
    p50: quarry.p50,
    p99: quarry.p99,
    besideP50: direct.p50,
    besideP99: direct.p99,
    hotCpuMilliseconds: hot.cpu,
    stockCpuMilliseconds: stock.cpu,
    caCpuMilliseconds: quarry.caCpu,
    besideCaCpuMilliseconds: direct.caCpu,
    stockCaCpuMilliseconds: stock.caCpu,
    redisCommands: commands,
    ordersPerSecond: quarry.rate,
    hotOrdersPerSecond: hot.rate,
    besideOrdersPerSecond: direct.rate,
    stockOrdersPerSecond: stock.rate,
    stockP50: stock.p50,
    stockP99: stock.p99,
    clients,
    ordersPerRun: orders,
    repeatedRuns,
    held: {
      "CPU cold, times stock acme-client's": quarry.cpu / stock.cpu,
      'Redis commands an order': commands,
    },
    note: [
      `cold ${quarry.cpu.toFixed(1)} ms CPU an order, hot ${hot.cpu.toFixed(1)}; stock acme-client calls cold ${stock.cpu.toFixed(1)}`,
      `Pebble's CPU an order ${quarry.caCpu.toFixed(1)} ms, hot ${hot.caCpu.toFixed(1)}, beside ${direct.caCpu.toFixed(1)}, by stock calls ${stock.caCpu.toFixed(1)}`,
      `${commands.toFixed(1)} Redis commands an order`,
      `${quarry.rate.toFixed(1)} orders/s cold, ${hot.rate.toFixed(1)} hot, beside ${direct.rate.toFixed(1)}, by stock calls ${stock.rate.toFixed(1)}`,
      ...notes,
    ].join('; '),
  };
}
