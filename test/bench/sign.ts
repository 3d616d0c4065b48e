import type { Benchmark } from './benchmark.ts';
import { forkedWay } from './forked-way.ts';
import { openQuarryWay } from './quarry-way.ts';
import { measureSideBySide, type Pair } from './side-by-side.ts';
import { median, percentile } from './statistics.ts';
import { prepareTrials, toRate } from './trials.ts';

/**
 * How many certificates a second so many clients get at once, from Quarry (worker concurrency as many) and
 * with stock acme-client calls.
 */
export function signBenchmark(options: Record<'clients' | 'orders' | 'rounds', number>): Benchmark {
  return async tell => {
    const trials = await prepareTrials(options, tell);
    const pairs = await measureSideBySide(options.rounds, {
      quarry: trials.of('quarry', openQuarryWay),
      beside: trials.of('stock acme-client', forkedWay('stock')),
    });
    const latencies = (side: keyof Pair<unknown>) => pairs.flatMap(pair => pair[side].latencies);
    const { repeatedRuns, notes } = trials.repeated();
    return {
      value: median(pairs.map(({ quarry }) => toRate(quarry))),
      unit: 'certificates/s',
      beside: 'the same orders by stock acme-client calls in one process, with the same responder',
      besideValue: median(pairs.map(({ beside }) => toRate(beside))),
      p50: percentile(latencies('quarry'), 0.5),
      p99: percentile(latencies('quarry'), 0.99),
      besideP50: percentile(latencies('beside'), 0.5),
      besideP99: percentile(latencies('beside'), 0.99),
      roundRatios: pairs.map(({ quarry, beside }) => toRate(quarry) / toRate(beside)),
      clients: options.clients,
      ordersPerRun: options.orders,
      repeatedRuns,
      note: notes.join('; '),
    };
  };
}
