import type { Benchmark } from './benchmark.ts';
import { forkedWay } from './forked-way.ts';
import { openQuarryWay } from './quarry-way.ts';
import { measureSideBySide } from './side-by-side.ts';
import { median, percentile } from './statistics.ts';
import { prepareTrials, toCaCpuPerOrder, toCpuPerOrder, toRate } from './trials.ts';

/**
 * Orders a second and CPU time per order with so many in flight, from POST to certificate: through Quarry,
 * each role a process; through its transport and order engine alone, in one process; and by stock acme-client
 * calls. The design wants 70 % of the second and five times the third.
 */
export function ordersBenchmark(options: Record<'clients' | 'orders' | 'rounds', number>): Benchmark {
  return async tell => {
    const trials = await prepareTrials(options, tell);
    const rounds = await measureSideBySide(options.rounds, {
      quarry: trials.of('quarry', openQuarryWay),
      direct: trials.of('without queue and intake', forkedWay('direct')),
      stock: trials.of('stock acme-client', forkedWay('stock')),
    });
    const summarize = (side: 'quarry' | 'direct' | 'stock') => {
      const sideTrials = rounds.map(round => round[side]);
      const latencies = sideTrials.flatMap(trial => trial.latencies);
      return {
        rate: median(sideTrials.map(toRate)),
        cpu: median(sideTrials.map(toCpuPerOrder)),
        caCpu: median(sideTrials.map(toCaCpuPerOrder)),
        p50: percentile(latencies, 0.5),
        p99: percentile(latencies, 0.99),
      };
    };
    const [quarry, direct, stock] = [summarize('quarry'), summarize('direct'), summarize('stock')];
    const timesStock = quarry.rate / stock.rate;
    const { repeatedRuns, notes } = trials.repeated();
    return {
      value: quarry.rate,
      unit: 'orders/s',
      beside:
        'the same transport and order engine without queue and intake, in one process, with the same responder',
      besideValue: direct.rate,
      p50: quarry.p50,
      p99: quarry.p99,
      besideP50: direct.p50,
      besideP99: direct.p99,
      cpuMilliseconds: quarry.cpu,
      besideCpuMilliseconds: direct.cpu,
      caCpuMilliseconds: quarry.caCpu,
      besideCaCpuMilliseconds: direct.caCpu,
      stockValue: stock.rate,
      stockRatio: timesStock,
      stockP50: stock.p50,
      stockP99: stock.p99,
      stockCpuMilliseconds: stock.cpu,
      stockCaCpuMilliseconds: stock.caCpu,
      roundRatios: rounds.map(round => toRate(round.quarry) / toRate(round.direct)),
      stockRoundRatios: rounds.map(round => toRate(round.quarry) / toRate(round.stock)),
      clients: options.clients,
      ordersPerRun: options.orders,
      repeatedRuns,
      note: [
        `CPU per order ${quarry.cpu.toFixed(1)} ms, beside ${direct.cpu.toFixed(1)} ms; of Pebble's ${quarry.caCpu.toFixed(1)} ms`,
        `stock acme-client calls ${stock.rate.toFixed(1)} orders/s with ${stock.cpu.toFixed(1)} ms: ${timesStock.toFixed(2)} times as many`,
        ...notes,
      ].join('; '),
    };
  };
}
