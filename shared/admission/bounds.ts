import { wholeNumber } from '../config/option-values.ts';
import { parseRate, type Rate } from '../config/rate.ts';
import type { SectionReader } from '../config/section-reader.ts';

/** What a block may use of what all blocks share; what is absent is not bounded. */
export type Bounds = {
  /** How many of its orders run at once in the whole fleet. */
  slots?: number;
  /** How many of its orders may wait or run. */
  queueMax?: number;
  /** Requests of each client address. */
  rate?: Rate;
  /** Requests of all its clients together. */
  blockRate?: Rate;
};

/** Reads them out of `[auth "name"]`; `undefined` where there are none, as in macen's files. */
export function parseBounds(section: SectionReader): Bounds | undefined {
  const slots = section.one('slots', wholeNumber(1, 10_000));
  const queueMax = section.one('queue-max', wholeNumber(1, 1_000_000));
  const rate = limited(section.one('rate', parseRate));
  const blockRate = limited(section.one('block-rate', parseRate));
  const bounds = {
    ...(slots !== undefined && { slots }),
    ...(queueMax !== undefined && { queueMax }),
    ...(rate && { rate }),
    ...(blockRate && { blockRate }),
  };
  return Object.keys(bounds).length > 0 ? bounds : undefined;
}

const limited = (rate: Rate | undefined) =>
  rate && rate.count < Number.POSITIVE_INFINITY ? rate : undefined;
