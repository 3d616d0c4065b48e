import { crypto } from 'acme-client';
import type { Benchmark } from './benchmark.ts';
import { type ClientsReport, inTime, runClients, TooSlowError } from './clients.ts';
import { startQuarrySigner } from './quarry-signer.ts';
import { measureSideBySide, type Pair } from './side-by-side.ts';
import type { Signer } from './signer.ts';
import { median, percentile } from './statistics.ts';
import { openStockClient, startStockSigner } from './stock-signer.ts';

const warmUpOrders = 8;
const mostTries = 4;
const orderLimitMs = 10_000;
const probeLimitMs = 3_000;

type NamedCsr = { name: string; csr: string };

/**
 * How many certificates a second so many clients get at once, from Quarry (worker concurrency as many) and with stock
 * acme-client calls. Each run has a Pebble of its own, as Pebble deadlocks under load; such a run is repeated.
 *
 * @param orders of a run; with those to warm up no more than 200, which Pebble mostly survives
 */
export function signBenchmark({ clients, orders, rounds }: Record<'clients' | 'orders' | 'rounds', number>): Benchmark {
  return async tell => {
    const csrs = await makeCsrs(warmUpOrders + orders);
    let repeated = 0;
    const measure = (what: string, start: () => Promise<Signer>) => async () => {
      for (let tries = 1; ; tries++) {
        const report = await measureSigner(start, clients, csrs);
        if (report) {
          tell(`${what}: ${toRate(report).toFixed(1)} certificates/s`);
          return report;
        }
        if (tries === mostTries) throw new Error(`Pebble hung in ${mostTries} runs of ${what}`);
        tell(`${what}: Pebble hung, once more`);
        repeated++;
      }
    };
    const pairs = await measureSideBySide(rounds, {
      quarry: measure('quarry', () => startQuarrySigner(clients)),
      beside: measure('stock acme-client', startStockSigner),
    });
    const latencies = (side: keyof Pair<unknown>) => pairs.flatMap(pair => pair[side].latencies);
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
      clients,
      ordersPerRun: orders,
      repeatedRuns: repeated,
      ...(repeated > 0 && { note: `${repeated} run${repeated > 1 ? 's' : ''} repeated because Pebble hung` }),
    };
  };
}

const toRate = ({ latencies, seconds }: ClientsReport) => latencies.length / seconds;

/** Different names and one key: the CA does not mind, and it is the fastest to make. */
async function makeCsrs(count: number): Promise<NamedCsr[]> {
  const key = await crypto.createPrivateEcdsaKey();
  const csrs: NamedCsr[] = [];
  while (csrs.length < count) {
    const name = `host-${csrs.length}.bench.example`;
    const [, csr] = await crypto.createCsr({ commonName: name }, key);
    csrs.push({ name, csr: csr.toString() });
  }
  return csrs;
}

/** Undefined when Pebble hung. */
async function measureSigner(
  start: () => Promise<Signer>,
  clients: number,
  csrs: readonly NamedCsr[],
): Promise<ClientsReport | undefined> {
  await using signer = await start();
  const tasks = csrs.map(
    ({ name, csr }) =>
      () =>
        signer.sign(name, csr),
  );
  try {
    await runClients(warmUpOrders, tasks.slice(0, warmUpOrders), orderLimitMs);
    return await runClients(clients, tasks.slice(warmUpOrders), orderLimitMs);
  } catch (error) {
    if (!(error instanceof TooSlowError)) throw error;
    if (await hasHung(signer)) return undefined;
    throw new Error('an order got stuck, and not because of Pebble', { cause: error });
  }
}

/** So that a hanging Quarry is not taken for a hanging Pebble: that one does not even take an order from a stranger. */
async function hasHung({ pebble }: Signer): Promise<boolean> {
  const order = async () => {
    const stranger = await openStockClient(pebble);
    await stranger.createOrder({ identifiers: [{ type: 'dns', value: 'probe.bench.example' }] });
  };
  return inTime(order(), probeLimitMs).then(
    () => false,
    () => true,
  );
}
