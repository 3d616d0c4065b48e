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
  /** Latencies in milliseconds, where there are any. */
  p50?: number;
  p99?: number;
  besideP50?: number;
  besideP99?: number;
  /** What the reader should know of this run, such as that a part of it was repeated. */
  note?: string;
  /**
   * What a budget holds, by names in words; less is better. Ratios to what Quarry is compared with where they
   * say enough, as these are the same on other machines.
   */
  held?: Record<string, number>;
  /** Anything else that is worth keeping; it appears with --json only. */
  [more: string]: string | number | number[] | Record<string, number> | undefined;
};

/** Takes lines about a benchmark's progress. */
export type Tell = (progress: string) => void;

/** As it is printed: `ratio` is `value` over `besideValue`. */
export type Result = Figures & { name: string; ratio: number };

/** Whose `quarry` is measured: that of the tree with this root, by default this one. */
export type Product = { root?: string };

/** One measurement; `figure` says in words what was measured, in which unit. */
export type Sample = { figure: string; value: number };

/**
 * Measures one product bit by bit, the next bit when it is asked for: two products can be measured in turn
 * like this while the processes of both are alive. They end when it ends or is closed. It gives the same
 * figures in the same order each time.
 */
export type Subject = (product: Product, tell: Tell) => AsyncGenerator<Sample, void, undefined>;

export type Benchmark = {
  /** Runs to its end within a few minutes and leaves no process behind. */
  run(tell: Tell): Promise<Figures>;
  /** What two trees are compared by; absent where code of this tree is measured in this process. */
  subject?: Subject;
  /** How often each tree's processes are started for a comparison; once by default. */
  rounds?: number;
};
