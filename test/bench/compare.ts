import type { Benchmark, Product, Sample, Subject, Tell } from './benchmark.ts';
import { takeSideBySide } from './side-by-side.ts';
import { median } from './statistics.ts';
import { untilCaHolds } from './trials.ts';

/** This tree and another one. */
export type Trees<Of> = { here: Of; there: Of };

/** One figure of two trees. */
export type Comparison = {
  figure: string;
  /** Medians. */
  here: number;
  there: number;
  /** Of the ratios, here by there, of what was measured beside each other: below 1 this tree takes less. */
  ratio: { median: number; least: number; most: number };
  pairs: number;
};

/** Measures two trees in turn, A B B A, with the processes of both alive. */
export async function compareTrees(
  { subject, rounds = 1 }: Benchmark & { subject: Subject },
  trees: Trees<Product>,
  tell: Tell,
): Promise<Comparison[]> {
  const taken: Trees<Sample>[] = [];
  const measure = (side: keyof Trees<Product>) =>
    subject(trees[side], progress => tell(`${side}: ${progress}`));
  for (let round = 1; round <= rounds; round++) {
    const pairs = await untilCaHolds(
      () => takeSideBySide({ here: measure('here'), there: measure('there') }),
      tell,
    );
    taken.push(...pairs);
    for (const comparison of toComparisons(pairs)) tell(`round ${round}: ${describe(comparison)}`);
  }
  return toComparisons(taken);
}

/** @param pairs of samples, each pair of the same figure */
export function toComparisons(pairs: readonly Trees<Sample>[]): Comparison[] {
  return [...Map.groupBy(pairs, ({ here }) => here.figure)].map(([figure, group]) => {
    const ratios = group.map(({ here, there }) => here.value / there.value);
    return {
      figure,
      here: median(group.map(({ here }) => here.value)),
      there: median(group.map(({ there }) => there.value)),
      ratio: { median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) },
      pairs: group.length,
    };
  });
}

export function describe({ figure, here, there, ratio, pairs }: Comparison): string {
  const spread = `${ratio.least.toFixed(2)} to ${ratio.most.toFixed(2)} in ${pairs} pair${pairs > 1 ? 's' : ''}`;
  return `${ratio.median.toFixed(2)} (${spread}): ${digits(here)} beside ${digits(there)} ${figure}`;
}

const digits = (value: number) => (value >= 100 ? String(Math.round(value)) : value.toPrecision(3));
