import type { Benchmark } from './benchmark.ts';
import { forkedWay } from './forked-way.ts';
import { startGround } from './ground.ts';
import { openQuarryWay } from './quarry-way.ts';
import { measureSideBySide, type Pair } from './side-by-side.ts';
import type { OpenWay } from './signer.ts';
import { median, percentile } from './statistics.ts';
import { collectTrials, noteRepeats, type Plan, toRate } from './trials.ts';

type SignOptions = Record<'clients' | 'orders' | 'rounds', number>;

/**
 * How many certificates a second so many clients get at once, from Quarry (worker concurrency as many) and
 * with stock acme-client calls.
 */
export function signBenchmark({ clients, orders, rounds }: SignOptions): Benchmark {
  const plan: Plan = { startGround, clients, trials: 1, orders };
  const run: Benchmark['run'] = async tell => {
    const collect = (what: string, open: OpenWay) => () =>
      collectTrials(plan, open, progress => tell(`${what}: ${progress}`));
    const pairs = await measureSideBySide(rounds, {
      quarry: collect('quarry', openQuarryWay),
      beside: collect('stock acme-client', forkedWay('stock')),
    });
    const trials = (side: keyof Pair<unknown>) => pairs.map(pair => pair[side].trial);
    const latencies = (side: keyof Pair<unknown>) => trials(side).flatMap(trial => trial.latencies);
    const { repeatedRuns, notes } = noteRepeats(pairs.flatMap(({ quarry, beside }) => [quarry, beside]));
    return {
      value: median(trials('quarry').map(toRate)),
      unit: 'certificates/s',
      beside: 'the same orders by stock acme-client calls in one process, with the same responder',
      besideValue: median(trials('beside').map(toRate)),
      p50: percentile(latencies('quarry'), 0.5),
      p99: percentile(latencies('quarry'), 0.99),
      besideP50: percentile(latencies('beside'), 0.5),
      besideP99: percentile(latencies('beside'), 0.99),
      clients,
      ordersPerRun: orders,
      repeatedRuns,
      note: notes.join('; '),
    };
  };
  return { run };
}
