import { describeError } from '../../shared/base/basics.ts';
import type { Benchmark, Result } from './benchmark.ts';
import { benchDnsResponder } from './dns-responder.ts';
import { benchDue } from './due.ts';
import { ordersBenchmark } from './orders.ts';
import { benchQueueOverhead } from './queue-overhead.ts';
import { benchQueued } from './queued.ts';
import { benchRenewals } from './renewals.ts';
import { requestsBenchmark } from './requests.ts';
import { benchResponder } from './responder.ts';
import { signBenchmark } from './sign.ts';
import { slowCaBenchmark } from './slow-ca.ts';
import { storageHit } from './storage-hit.ts';
import { toTable } from './table.ts';
import { benchTlsAlpn } from './tls-alpn.ts';

// `npm run bench [-- --json] [NAME…]`: names, or what they begin with; all of them by default. Progress goes
// to stderr, results to stdout: a table, or one JSON object a line.

const benchmarks: Record<string, Benchmark> = {
  'sign-1': signBenchmark({ clients: 1, orders: 32, rounds: 3 }),
  'sign-16': signBenchmark({ clients: 16, orders: 128, rounds: 3 }),
  'sign-64': signBenchmark({ clients: 64, orders: 184, rounds: 3 }),
  'orders-1': ordersBenchmark({ clients: 1, orders: 32, rounds: 3 }),
  'orders-4': ordersBenchmark({ clients: 4, orders: 96, rounds: 3 }),
  'orders-16': ordersBenchmark({ clients: 16, orders: 128, rounds: 3 }),
  'orders-64': ordersBenchmark({ clients: 64, orders: 184, rounds: 3 }),
  'queue-overhead': benchQueueOverhead,
  'queued-10000': benchQueued,
  'requests-1': requestsBenchmark(1),
  'requests-3': requestsBenchmark(3),
  'slow-ca-1': slowCaBenchmark(1),
  'slow-ca-2': slowCaBenchmark(2),
  'slow-ca-4': slowCaBenchmark(4),
  'due-100000': benchDue,
  'renewals-5000': benchRenewals,
  'storage-hit': storageHit('redis'),
  'storage-hit-file': storageHit('file'),
  responder: benchResponder,
  'dns-responder': benchDnsResponder,
  'tls-alpn': benchTlsAlpn,
};

/** An exact name means that benchmark alone; undefined where nothing is meant by a word. */
function choose(words: readonly string[]): string[] | undefined {
  const known = Object.keys(benchmarks);
  const chosen = words.map(word =>
    known.includes(word) ? [word] : known.filter(name => name.startsWith(word)),
  );
  if (chosen.some(names => names.length === 0)) return undefined;
  return words.length === 0 ? known : known.filter(name => chosen.flat().includes(name));
}

async function run(name: string): Promise<Result> {
  const figures = await (benchmarks[name] as Benchmark)(progress =>
    process.stderr.write(`${name}: ${progress}\n`),
  );
  const { value, unit, beside, besideValue, ...more } = figures;
  return { name, value, unit, beside, besideValue, ratio: value / besideValue, ...more };
}

async function main(args: readonly string[]): Promise<number> {
  const names = choose(args.filter(arg => arg !== '--json'));
  if (!names) {
    process.stderr.write(`bench: unknown name; known: ${Object.keys(benchmarks).join(', ')}\n`);
    return 2;
  }
  const results: Result[] = [];
  for (const name of names) {
    try {
      const result = await run(name);
      results.push(result);
      if (args.includes('--json')) process.stdout.write(`${JSON.stringify(result)}\n`);
    } catch (error) {
      process.stderr.write(`${name} failed: ${describeError(error)}\n`);
    }
  }
  if (!args.includes('--json')) process.stdout.write(toTable(results));
  return results.length === names.length ? 0 : 1;
}

// An exit, unlike a signal, ends the processes and removes the folders of the benchmark that runs.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
// Exits for itself too: calls that hang with a Pebble that has hung would keep it for minutes.
process.exit(await main(process.argv.slice(2)));
