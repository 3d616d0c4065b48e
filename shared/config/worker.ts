import { wholeNumber } from './option-values.ts';
import type { SectionReader } from './section-reader.ts';

export type WorkerConfig = {
  /** Orders that one worker drives at once; most of their time they wait for the CA. */
  concurrency: number;
};

/** `[worker]` */
export function parseWorker(section: SectionReader): WorkerConfig {
  const concurrency = section.one('concurrency', wholeNumber(1, 1000)) ?? 64;
  section.finish();
  return { concurrency };
}
