import { readFile, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { Result } from './benchmark.ts';

/** What the benchmarks of the last release found: for each of them its figures, of which less is better. */
export type Budget = {
  /** Of the run, as ISO 8601 has it. */
  date: string;
  machine: string;
  held: Record<string, Record<string, number>>;
};

/** So much worse may a figure be. */
const tolerance = 1.25;

const file = join(import.meta.dirname, 'budget.json');

export const readBudget = async () => JSON.parse(await readFile(file, 'utf8')) as Budget;

export async function saveBudget(results: readonly Result[]): Promise<void> {
  const { held } = await readBudget();
  const [{ model = 'unknown' } = {}] = cpus();
  const budget: Budget = {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus().length} cores, ${model}, Node ${process.version}`,
    held: { ...held, ...toHeld(results) },
  };
  await writeFile(file, `${JSON.stringify(budget, null, 2)}\n`);
}

const toHeld = (results: readonly Result[]): Budget['held'] =>
  Object.fromEntries(
    results.flatMap(({ name, held }) =>
      held ? [[name, mapValues(held, value => Number(value.toPrecision(3)))]] : [],
    ),
  );

const mapValues = (values: Record<string, number>, change: (value: number) => number) =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, change(value)]));

/**
 * A line for each figure of the budget that is worse by more than a quarter, or that was not measured.
 *
 * @param names the benchmarks that were to be measured
 */
export function findExceeded(
  held: Budget['held'],
  names: readonly string[],
  results: readonly Pick<Result, 'name' | 'held'>[],
): string[] {
  const measured = new Map(results.map(result => [result.name, result.held]));
  return names.flatMap(name =>
    Object.entries(held[name] ?? {}).flatMap(([figure, budget]) => {
      const now = measured.get(name)?.[figure];
      if (now === undefined || Number.isNaN(now)) return [`${name}: ${figure}: not measured`];
      if (now <= budget * tolerance) return [];
      const share = Math.round((now / budget - 1) * 100);
      return [`${name}: ${figure}: ${now.toPrecision(3)}, ${share} % over ${budget.toPrecision(3)}`];
    }),
  );
}
