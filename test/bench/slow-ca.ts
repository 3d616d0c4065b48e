import type { Benchmark } from './benchmark.ts';
import { type ClientsReport, runClients } from './clients.ts';
import { startProxiedGround } from './ground.ts';
import { makeCsrs } from './named-csrs.ts';
import { openQuarryWay } from './quarry-way.ts';
import { percentile } from './statistics.ts';
import { warmUpOrders } from './trials.ts';

/** So few that the workers' slots are what limits, and not this machine. */
const concurrency = 4;
const answerDelayMs = 300;
/** How many orders each slot gets: with those to warm up no more than 200 for four workers. */
const ordersPerSlot = 8;
const requestsPerOrder = 7;
const limitMs = 60_000;

/**
 * Orders a second with so many workers, when each answer of the CA takes 300 ms; beside so many times what
 * one worker does. One worker stands beside one that loses no time at all between the seven answers of an
 * order.
 */
export function slowCaBenchmark(workers: 1 | 2 | 4): Benchmark {
  const run: Benchmark['run'] = async tell => {
    const measure = async (count: number) => {
      const report = await measureWorkers(count);
      tell(`${count} worker${count > 1 ? 's' : ''}: ${toRate(report).toFixed(2)} orders/s`);
      return report;
    };
    const ideal = (workers * concurrency * 1000) / (requestsPerOrder * answerDelayMs);
    const one = workers > 1 ? await measure(1) : undefined;
    const all = await measure(workers);
    const besideLatencies = one?.latencies ?? [requestsPerOrder * answerDelayMs];
    return {
      value: toRate(all),
      unit: 'orders/s',
      beside: one
        ? `${workers} times what one worker does (linear is a ratio of 1)`
        : 'a worker that loses no time between the seven answers of an order',
      besideValue: one ? workers * toRate(one) : ideal,
      p50: percentile(all.latencies, 0.5),
      p99: percentile(all.latencies, 0.99),
      besideP50: percentile(besideLatencies, 0.5),
      besideP99: percentile(besideLatencies, 0.99),
      workers,
      concurrency,
      answerDelayMs,
      ideal,
    };
  };
  return { run };
}

const toRate = ({ latencies, seconds }: ClientsReport) => latencies.length / seconds;

/**
 * As many clients as slots: each slot is taken all the time, and the latencies are those of the orders alone.
 */
async function measureWorkers(workers: number): Promise<ClientsReport> {
  await using stack = new AsyncDisposableStack();
  const ground = await startProxiedGround(stack, concurrency);
  const quarry = await openQuarryWay(stack, ground, { workers });
  const slots = workers * concurrency;
  const warmUps = workers * warmUpOrders;
  const csrs = await makeCsrs(warmUps + slots * ordersPerSlot);
  const tasks = csrs.map(csr => () => quarry.sign(csr));
  // Each worker learns for itself how long validation takes; the delay of the answers would only make that
  // take longer.
  await runClients(workers, tasks.slice(0, warmUps), limitMs);
  ground.proxy.slow(answerDelayMs);
  return await runClients(slots, tasks.slice(warmUps), limitMs);
}
