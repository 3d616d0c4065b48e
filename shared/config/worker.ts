import { inCode, type OptionRows } from './option-rows.ts';
import { wholeNumber } from './option-values.ts';
import type { SectionReader } from './section-reader.ts';

export type WorkerConfig = {
  /** Orders that one worker drives at once; most of their time they wait for the CA. */
  concurrency: number;
};

const CONCURRENCY = 64;

/** Of `[worker]`. */
export const workerRows: OptionRows = {
  concurrency: { meaning: 'orders that one worker drives at once', otherwise: inCode(CONCURRENCY) },
};

/** `[worker]` */
export function parseWorker(section: SectionReader): WorkerConfig {
  const concurrency = section.one('concurrency', wholeNumber(1, 1000)) ?? CONCURRENCY;
  section.finish();
  return { concurrency };
}
