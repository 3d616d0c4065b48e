const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** Let's Encrypt's advice for tries after a failure, each up to a tenth longer. Milliseconds. */
export const BACKOFF_STEPS = [MINUTE, 10 * MINUTE, 100 * MINUTE, 24 * HOUR];
const FREE_PER_HOUR = 3;

/**
 * So many failed orders of one auth block, whatever their names, within so many milliseconds and none that
 * succeeded, slow the block down.
 */
export const SLOW_AFTER = 20;
export const SLOW_WITHIN = 10 * MINUTE;
/** For how long after the last failure. Milliseconds. */
export const SLOW_LIFE = HOUR;
/** So much later an order of a slow block stands for each that its client has failed. Milliseconds. */
export const SLOW_PENALTY = 10 * MINUTE;
/** The orders of a block that is slowed down. */
export const SLOW_RATE = { count: 1, period: MINUTE };

export const describeSlow = (block: string) =>
  `auth block ${block} is slowed down to an order a minute until one succeeds, as ${SLOW_AFTER} of its orders ` +
  `failed validation within ${SLOW_WITHIN / MINUTE} minutes and none succeeded`;

/**
 * How often an exact set of names failed validation, since it last succeeded; times in milliseconds since the
 * epoch.
 */
export type FailureHistory = {
  /** Those of the last hour. */
  recent: number[];
  /** How many times a wait was asked for already. */
  level: number;
  /** No new order before. */
  until: number;
};

/**
 * After a failed validation: the first three in an hour cost nothing, as people mend and try again; then
 * Let's Encrypt's advice of 1 minute, 10 minutes, 100 minutes, and a day at a time, each up to a tenth
 * longer.
 *
 * @param random in [0, 1)
 */
export function afterFailure(
  history: FailureHistory | undefined,
  now: number,
  random: number,
): FailureHistory {
  const recent = [...(history?.recent ?? []).filter(at => now - at < HOUR), now];
  const level = history?.level ?? 0;
  if (level === 0 && recent.length <= FREE_PER_HOUR) return { recent, level, until: now };
  const wait = BACKOFF_STEPS[Math.min(level, BACKOFF_STEPS.length - 1)] ?? 0;
  return { recent, level: level + 1, until: now + wait * (1 + random / 10) };
}
