import type { Sample, Tell } from './benchmark.ts';
import { type ClientsReport, runClients, TooSlowError } from './clients.ts';
import type { StartGround } from './ground.ts';
import { makeCsrs, type NamedCsr } from './named-csrs.ts';
import { totalCpuSeconds } from './process-figures.ts';
import { countCommands } from './redis-commands.ts';
import { hasHung, type OpenWay, type Signer, startSigner } from './signer.ts';

/**
 * One after the other, so that Quarry learns how long this CA takes: its first poll comes after 250 ms at
 * first, and a fifth sooner with each order that was done by then, down to about 25 ms.
 */
export const warmUpOrders = 14;

const mostRepeats = 3;
const orderLimitMs = 10_000;

/**
 * CPU time of all processes of the way with their Redis, and that of the CA, while `latencies` were measured.
 */
export type Trial = ClientsReport & { cpuSeconds: number; caCpuSeconds: number };

export const toRate = ({ latencies, seconds }: Trial) => latencies.length / seconds;
/** In milliseconds. */
export const toCpuPerOrder = ({ latencies, cpuSeconds }: Trial) => (cpuSeconds * 1000) / latencies.length;
export const toCaCpuPerOrder = ({ latencies, caCpuSeconds }: Trial) =>
  (caCpuSeconds * 1000) / latencies.length;

/** Trials of the same way, as one. */
export const joinTrials = (trials: readonly Trial[]): Trial => ({
  latencies: trials.flatMap(({ latencies }) => latencies),
  seconds: sum(trials.map(({ seconds }) => seconds)),
  cpuSeconds: sum(trials.map(({ cpuSeconds }) => cpuSeconds)),
  caCpuSeconds: sum(trials.map(({ caCpuSeconds }) => caCpuSeconds)),
});

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** A row of trials with so many clients at once, and as many slots of the worker. */
export type Plan = {
  startGround: StartGround;
  clients: number;
  /** Orders that come before and are not measured, besides those to warm up; none by default. */
  before?: number;
  trials: number;
  /** Of each trial. */
  orders: number;
  /** Orders in the end, one after the other, whose commands to Redis are counted; none by default. */
  counted?: number;
};

/** A trial, or how many commands clients sent Redis for an order. */
export type Measured = { trial: Trial } | { commands: number };

/**
 * Goes through the plan with processes that are fresh in the beginning, one trial each time that it is asked.
 *
 * @param watch has each measured piece of work run; it may look on
 * @throws CaHungError where the CA has hung
 */
export async function* runPlan(
  plan: Plan,
  open: OpenWay,
  watch: (work: () => Promise<ClientsReport>) => Promise<ClientsReport> = work => work(),
): AsyncGenerator<Measured, void, undefined> {
  const { startGround, clients, before = 0, trials, orders, counted = 0 } = plan;
  await using signer = await startSigner(open, startGround, clients);
  const all = warmUpOrders + before + trials * orders + counted;
  const csrs = await makeCsrs(all, 1, signer.ground.keyPem);
  const order = (count: number, atOnce: number) => runOrders(signer, csrs.splice(0, count), atOnce);

  await order(warmUpOrders, 1);
  await order(before, clients);
  for (let trial = 0; trial < trials; trial++)
    yield { trial: await measure(signer, () => watch(() => order(orders, clients))) };
  if (counted > 0)
    yield { commands: (await countCommands(signer.ground.redis.url, () => order(counted, 1))) / counted };
}

async function measure({ way, ground }: Signer, work: () => Promise<ClientsReport>): Promise<Trial> {
  const pids = [...way.pids, ground.redis.pid];
  const look = () => Promise.all([totalCpuSeconds(pids), totalCpuSeconds(ground.caPids)]);
  const before = await look();
  const report = await work();
  const after = await look();
  return { ...report, cpuSeconds: after[0] - before[0], caCpuSeconds: after[1] - before[1] };
}

async function runOrders(signer: Signer, csrs: NamedCsr[], atOnce: number): Promise<ClientsReport> {
  const tasks = csrs.map(csr => () => signer.sign(csr));
  try {
    return await runClients(atOnce, tasks, orderLimitMs);
  } catch (error) {
    if (!(error instanceof TooSlowError)) throw error;
    if (await hasHung(signer.ground)) throw new CaHungError('the CA hung', { cause: error });
    throw new Error('an order got stuck, and not because of the CA', { cause: error });
  }
}

/** Pebble deadlocks under load; the trials are to be begun anew. */
export class CaHungError extends Error {
  override readonly name = 'CaHungError';
}

export type Collected = {
  /** All trials as one. */
  trial: Trial;
  /** Commands to Redis for an order, where the plan has them counted. */
  commands: number | undefined;
  /** How often it was begun anew because the CA hung. */
  repeated: number;
};

/** Goes through the plan to its end, and begins anew where the CA hangs, a few times. */
export async function collectTrials(plan: Plan, open: OpenWay, tell: Tell): Promise<Collected> {
  return await untilCaHolds(async repeated => {
    const all: Measured[] = [];
    for await (const measured of runPlan(plan, open)) {
      tell(describe(measured));
      all.push(measured);
    }
    const { trials, commands } = sortMeasured(all);
    return { trial: joinTrials(trials), commands, repeated };
  }, tell);
}

export const sortMeasured = (all: readonly Measured[]) => ({
  trials: all.flatMap(measured => ('trial' in measured ? [measured.trial] : [])),
  commands: all.flatMap(measured => ('commands' in measured ? [measured.commands] : []))[0],
});

const describe = (measured: Measured) =>
  'commands' in measured
    ? `${measured.commands.toFixed(1)} Redis commands an order`
    : `${toRate(measured.trial).toFixed(1)} orders/s, ${toCpuPerOrder(measured.trial).toFixed(1)} ms CPU each`;

/** @param attempt gets how often it was done before */
export async function untilCaHolds<T>(attempt: (repeated: number) => Promise<T>, tell: Tell): Promise<T> {
  for (let repeated = 0; ; repeated++) {
    try {
      return await attempt(repeated);
    } catch (error) {
      if (!(error instanceof CaHungError) || repeated === mostRepeats) throw error;
      tell('the CA hung, once more');
    }
  }
}

export const toSample = (measured: Measured): Sample =>
  'commands' in measured
    ? { figure: 'Redis commands an order', value: measured.commands }
    : { figure: 'ms CPU an order', value: toCpuPerOrder(measured.trial) };

/** What the reader has to know of runs that were repeated. */
export function noteRepeats(collected: readonly Collected[]): { repeatedRuns: number; notes: string[] } {
  const repeatedRuns = sum(collected.map(({ repeated }) => repeated));
  const note = `${repeatedRuns} run${repeatedRuns > 1 ? 's' : ''} repeated because Pebble hung`;
  return { repeatedRuns, notes: repeatedRuns > 0 ? [note] : [] };
}
