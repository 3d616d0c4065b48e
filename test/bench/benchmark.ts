/**
 * What a benchmark found: Quarry's figure and that of the thing it is compared with, measured in the same
 * run.
 */
export type Figures = {
  value: number;
  unit: string;
  /** What Quarry is compared with, in words. */
  beside: string;
  besideValue: number;
  /** Latencies in milliseconds. */
  p50: number;
  p99: number;
  besideP50: number;
  besideP99: number;
  /** What the reader should know of this run, such as that a part of it was repeated. */
  note?: string;
  /** Anything else that is worth keeping; it appears with --json only. */
  [more: string]: string | number | number[] | undefined;
};

/**
 * Runs to its end within a minute or so and leaves no process behind. `tell` takes lines about its progress.
 */
export type Benchmark = (tell: (progress: string) => void) => Promise<Figures>;

/** As it is printed: `ratio` is `value` over `besideValue`. */
export type Result = Figures & { name: string; ratio: number };
