import type { Rate } from './limits-section.ts';

/** What a job may use of what the CA allows, with all others whose share has this name. */
export type Share = {
  name: string;
  /** Of the account's orders: in (0, 1]; absent: all. */
  part?: number | undefined;
  /** Of the certificates of each registered domain: in [0, 1], and one at least; absent: all. */
  domains?: ReadonlyMap<string, number>;
  /** How many other shares there are that may have certificates of the same set of names. */
  rivalsForSet?: number;
};

/** @returns `undefined` where nothing is divided */
export function partOf(rate: Rate | undefined, part: number | undefined): Rate | undefined {
  if (!rate || part === undefined) return undefined;
  return { ...rate, count: Math.max(1, Math.floor(rate.count * part + 1e-6)) };
}

/**
 * The limit of a set is small, and a set is one block's as a rule: so it is not divided into parts of one or
 * two, but what the rivals of a share can use up together leaves it one.
 *
 * @returns `undefined` where nothing is divided
 */
export function leftBy(rate: Rate | undefined, rivals = 0): Rate | undefined {
  if (!rate || rivals === 0) return undefined;
  return { ...rate, count: Math.max(1, Math.floor((rate.count - 1) / rivals)) };
}
