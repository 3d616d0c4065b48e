import type { Parse } from './section-reader.ts';

/** So many in a period of so many milliseconds; as a token bucket, which fills evenly. */
export type Rate = { count: number; period: number };

const units: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `300/3h`, `60/min`; of `off` the count is infinite. */
export const parseRate: Parse<Rate> = (text, fail) => {
  if (text === '' || /^(off|no)$/i.test(text)) return { count: Number.POSITIVE_INFINITY, period: 1 };
  const form = /^(\d{1,9})\s*\/\s*(\d{1,4})?\s*(s|sec|m|min|h|hour|d|day)$/i;
  const [, count, times = '1', unit = ''] = form.exec(text) ?? [];
  const rate = {
    count: Number(count),
    period: Number(times) * (units[unit.charAt(0).toLowerCase()] ?? Number.NaN),
  };
  return rate.count >= 1 && rate.period >= 1
    ? rate
    : fail('is neither a rate such as 300/3h or 60/min, nor off');
};

/** As `parseRate` reads it, in the greatest unit that fits. */
export function formatRate({ count, period }: Rate): string {
  const unit = ['d', 'h', 'm'].find(name => period % (units[name] ?? 0) === 0) ?? 's';
  const times = period / (units[unit] ?? 1);
  return `${count}/${times === 1 ? '' : times}${unit === 'm' ? 'min' : unit}`;
}
