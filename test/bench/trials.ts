import { type ClientsReport, inTime, runClients, TooSlowError } from './clients.ts';
import { cpuSeconds, totalCpuSeconds } from './cpu-time.ts';
import { makeCsrs, type NamedCsr } from './named-csrs.ts';
import { type OpenWay, type Signer, startSigner } from './signer.ts';
import { openStockClient } from './stock-client.ts';

/**
 * One after the other, so that Quarry learns how long this CA takes: its first poll comes after 250 ms at
 * first, and a fifth sooner with each order that was done by then, down to about 25 ms.
 */
export const warmUpOrders = 14;

const mostTries = 4;
const orderLimitMs = 10_000;
const probeLimitMs = 3_000;

/** CPU time of all processes of the way, and that of Pebble, while `latencies` were measured. */
export type Trial = ClientsReport & { cpuSeconds: number; caCpuSeconds: number };

export const toRate = ({ latencies, seconds }: Trial) => latencies.length / seconds;
/** In milliseconds. */
export const toCpuPerOrder = ({ latencies, cpuSeconds }: Trial) => (cpuSeconds * 1000) / latencies.length;
export const toCaCpuPerOrder = ({ latencies, caCpuSeconds }: Trial) =>
  (caCpuSeconds * 1000) / latencies.length;

export type Trials = {
  /** A measurement of this way, which a benchmark may have as often as it likes. */
  of(what: string, open: OpenWay): () => Promise<Trial>;
  /** What the reader has to know of runs that were repeated, and how many they were. */
  repeated(): { repeatedRuns: number; notes: string[] };
};

/**
 * Measures how fast ways lead to certificates for so many clients at once. Each run has a Pebble of its own,
 * as Pebble deadlocks under load; such a run is repeated.
 *
 * @param orders of a run; with those to warm up no more than 200, which Pebble mostly survives
 */
export async function prepareTrials(
  { clients, orders }: { clients: number; orders: number },
  tell: (progress: string) => void,
): Promise<Trials> {
  const csrs = await makeCsrs(warmUpOrders + orders);
  let repeated = 0;

  async function measure(what: string, open: OpenWay): Promise<Trial> {
    for (let tries = 1; tries <= mostTries; tries++) {
      const trial = await measureWay(open, clients, csrs);
      if (trial) {
        tell(`${what}: ${toRate(trial).toFixed(1)} orders/s, ${toCpuPerOrder(trial).toFixed(1)} ms CPU each`);
        return trial;
      }
      tell(`${what}: Pebble hung, once more`);
      repeated++;
    }
    throw new Error(`Pebble hung in ${mostTries} runs of ${what}`);
  }

  const toNote = () => `${repeated} run${repeated > 1 ? 's' : ''} repeated because Pebble hung`;
  return {
    of: (what, open) => () => measure(what, open),
    repeated: () => ({ repeatedRuns: repeated, notes: repeated > 0 ? [toNote()] : [] }),
  };
}

/** Undefined when Pebble hung. */
async function measureWay(
  open: OpenWay,
  clients: number,
  csrs: readonly NamedCsr[],
): Promise<Trial | undefined> {
  await using signer = await startSigner(open, clients);
  const tasks = csrs.map(csr => () => signer.sign(csr));
  try {
    await runClients(1, tasks.slice(0, warmUpOrders), orderLimitMs);
    const look = () => Promise.all([totalCpuSeconds(signer.pids), cpuSeconds(signer.pebble.pid)]);
    const before = await look();
    const report = await runClients(clients, tasks.slice(warmUpOrders), orderLimitMs);
    const after = await look();
    return { ...report, cpuSeconds: after[0] - before[0], caCpuSeconds: after[1] - before[1] };
  } catch (error) {
    if (!(error instanceof TooSlowError)) throw error;
    if (await hasHung(signer)) return undefined;
    throw new Error('an order got stuck, and not because of Pebble', { cause: error });
  }
}

/**
 * So that a hanging Quarry is not taken for a hanging Pebble: that one does not even take an order from a
 * stranger.
 */
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
