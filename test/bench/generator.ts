import { percentile } from './statistics.ts';

/** The wire format between `load.ts` and the programs that make load. */
export type LoadSpec = {
  port: number;
  /** What is sent over and over, as the program understands it. */
  request: string;
  /** Each has one request in flight. */
  connections: number;
  warmUpMs: number;
  measureMs: number;
};

export type LoadReport = {
  /** During the measurement, which lasted `seconds`. */
  answers: number;
  seconds: number;
  /** With those of the warm-up. */
  allAnswers: number;
  /** Latencies in milliseconds. */
  p50: number;
  p99: number;
  /** The share of a core that the program itself took. */
  busy: number;
};

/**
 * The frame of a program that gets a LoadSpec as JSON and prints a LoadReport as JSON.
 *
 * @param open opens one connection, on which requests follow each other; it calls `answered` with the time of
 *   each request that was answered
 */
export function generateLoad(open: (spec: LoadSpec, answered: (sentAt: number) => void) => void): void {
  const spec = JSON.parse(process.argv[2] ?? '') as LoadSpec;
  const latencies: number[] = [];
  let measuring = false;
  let allAnswers = 0;

  const answered = (sentAt: number) => {
    allAnswers++;
    if (measuring) latencies.push(performance.now() - sentAt);
  };

  function report(startedAt: number, before: NodeJS.CpuUsage): void {
    const seconds = (performance.now() - startedAt) / 1000;
    const { user, system } = process.cpuUsage(before);
    const result: LoadReport = {
      answers: latencies.length,
      seconds,
      allAnswers,
      p50: percentile(latencies, 0.5),
      p99: percentile(latencies, 0.99),
      busy: (user + system) / 1e6 / seconds,
    };
    process.stdout.write(`${JSON.stringify(result)}\n`);
    process.exit(0);
  }

  for (let count = 0; count < spec.connections; count++) open(spec, answered);
  setTimeout(() => {
    measuring = true;
    setTimeout(report, spec.measureMs, performance.now(), process.cpuUsage());
  }, spec.warmUpMs);
}

export function fail(reason: string): never {
  process.stderr.write(`${reason}\n`);
  process.exit(1);
}
