import { styleText } from 'node:util';
import type { Result } from './benchmark.ts';

const columns: { title: string; text: (result: Result) => string }[] = [
  { title: 'benchmark', text: ({ name }) => name },
  { title: 'quarry', text: ({ value }) => number(value) },
  { title: 'p50 ms', text: ({ p50 }) => number(p50) },
  { title: 'p99 ms', text: ({ p99 }) => number(p99) },
  { title: 'beside', text: ({ besideValue }) => number(besideValue) },
  { title: 'p50 ms', text: ({ besideP50 }) => number(besideP50) },
  { title: 'p99 ms', text: ({ besideP99 }) => number(besideP99) },
  { title: 'ratio', text: ({ ratio }) => ratio.toFixed(2) },
  { title: 'unit', text: ({ unit }) => unit },
];

/** The results as a table, and below it what each was compared with. */
export function toTable(results: readonly Result[]): string {
  const rows = [
    columns.map(({ title }) => title),
    ...results.map(result => columns.map(({ text }) => text(result))),
  ];
  const widths = columns.map((_, index) => Math.max(...rows.map(row => row[index]?.length ?? 0)));
  const align = (cell: string, index: number) =>
    index === 0 || index === columns.length - 1
      ? cell.padEnd(widths[index] ?? 0)
      : cell.padStart(widths[index] ?? 0);
  const [head = '', ...lines] = rows.map(row => row.map(align).join('  ').trimEnd());
  const remarks = results.map(
    ({ name, beside, note }) => `${name}: beside ${beside}${note ? `; ${note}` : ''}`,
  );
  return [styleText('bold', head, { stream: process.stdout }), ...lines, '', ...remarks, ''].join('\n');
}

/** Three significant digits are more than the machine's noise leaves. */
function number(value: number | undefined): string {
  if (value === undefined) return '';
  return value >= 100 ? String(Math.round(value)) : value.toPrecision(3);
}
