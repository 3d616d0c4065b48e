import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Process, startProcess } from '../support/processes.ts';
import type { Figures, Subject, Tell } from './benchmark.ts';
import type { LoadReport, LoadSpec } from './generator.ts';
import { totalCpuSeconds } from './process-figures.ts';
import { measureSideBySide, type Pair } from './side-by-side.ts';
import { median } from './statistics.ts';

const run = promisify(execFile);

const rounds = 7;
const warmUpMs = 300;
const measureMs = 800;
const connections = 32;
const limitMs = 15_000;

/** A server process on loopback; `also` are others that take part in its answers. */
export type Target = { pid: number; also?: number[]; port: number };

type Sample = LoadReport & {
  rate: number;
  /** The server's CPU time for an answer, in microseconds. */
  cpuPerAnswer: number;
};

/** Who sends what: a program in this folder, and the request as it understands it. */
export type Load = {
  generator: string;
  request: string;
  unit: string;
  /** Where they are not as for a plain request. */
  warmUpMs?: number;
  measureMs?: number;
};

/** Quarry's server of one tree, and what it is sent. */
export type OpenLoad<Opened = unknown> = (
  stack: AsyncDisposableStack,
  root?: string,
) => Promise<Opened & { target: Target; load: Load }>;

/** The server's CPU time for an answer, again and again. */
export function loadSubject(open: OpenLoad): Subject {
  return async function* ({ root }, tell) {
    await using stack = new AsyncDisposableStack();
    const { target, load } = await open(stack, root);
    for (let round = 0; round < rounds; round++) {
      const { cpuPerAnswer } = await measureLoad('quarry', target, load, tell);
      yield { figure: 'µs CPU an answer', value: cpuPerAnswer };
    }
  };
}

/** An HTTP request, head and body. */
export const httpLoad = (request: string): Load => ({
  generator: 'load-generator.ts',
  request,
  unit: 'answers/s',
});

/**
 * Sends the same request over and over to Quarry and to the server beside it, in turn, as fast as they
 * answer.
 */
export async function compareLoad(
  targets: Pair<Target>,
  load: Load,
  beside: string,
  tell: Tell,
): Promise<Figures> {
  const pairs = await measureSideBySide(rounds, {
    quarry: () => measureLoad('quarry', targets.quarry, load, tell),
    beside: () => measureLoad('beside', targets.beside, load, tell),
  });
  const of = (side: keyof Pair<Sample>, figure: keyof Sample) =>
    median(pairs.map(pair => pair[side][figure]));
  const busy = Math.max(...pairs.flatMap(({ quarry, beside }) => [quarry.busy, beside.busy]));
  const cpu = { quarry: of('quarry', 'cpuPerAnswer'), beside: of('beside', 'cpuPerAnswer') };
  return {
    value: of('quarry', 'rate'),
    unit: load.unit,
    beside,
    besideValue: of('beside', 'rate'),
    p50: of('quarry', 'p50'),
    p99: of('quarry', 'p99'),
    besideP50: of('beside', 'p50'),
    besideP99: of('beside', 'p99'),
    cpuMicroseconds: cpu.quarry,
    besideCpuMicroseconds: cpu.beside,
    roundRatios: pairs.map(({ quarry, beside }) => quarry.rate / beside.rate),
    connections,
    generatorBusy: busy,
    ...(cpu.quarry > 0 && {
      held: { 'CPU an answer, times that of what is beside': cpu.quarry / cpu.beside },
    }),
    note: [
      ...(cpu.quarry > 0
        ? [`CPU per answer ${toMicroseconds(cpu.quarry)}, beside ${toMicroseconds(cpu.beside)}`]
        : []),
      // Near a whole core it would be the generator that is measured.
      ...(busy > 0.9 ? [`the load generator was ${Math.round(busy * 100)} % busy`] : []),
    ].join('; '),
  };
}

const toMicroseconds = (value: number) => `${Math.round(value)} µs`;

async function measureLoad(
  what: string,
  { pid, also = [], port }: Target,
  load: Load,
  tell: Tell,
): Promise<Sample> {
  const { request, unit } = load;
  const spec: LoadSpec = { warmUpMs, measureMs, ...load, port, request, connections };
  const generator = join(import.meta.dirname, load.generator);
  const pids = [pid, ...also];
  const before = await totalCpuSeconds(pids);
  const { stdout } = await run(process.execPath, [generator, JSON.stringify(spec)], { timeout: limitMs });
  const report = JSON.parse(stdout) as LoadReport;
  const cpuPerAnswer = (((await totalCpuSeconds(pids)) - before) * 1e6) / report.allAnswers;
  const rate = report.answers / report.seconds;
  tell(`${what}: ${Math.round(rate)} ${unit}`);
  return { ...report, rate, cpuPerAnswer };
}

/**
 * Starts the server beside: bare `node:http` that reads the body and answers with what this Redis key holds.
 */
export async function startBareServer(redisUrl: string, key: string): Promise<Process & Target> {
  const program = join(import.meta.dirname, 'bare-server.ts');
  const running = await startProcess(process.execPath, [program, redisUrl, key], {
    name: 'bare server',
    ready: /listening on \d+/,
  });
  return Object.assign(running, { port: Number(/listening on (\d+)/.exec(running.output())?.[1]) });
}
