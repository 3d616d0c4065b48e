/** One measurement of each side. */
export type Pair<Sample> = Record<'quarry' | 'beside', Sample>;

/**
 * Measures all sides in turn, and in the opposite order in every second round (A B, B A, …), so that neither
 * a machine that slows down nor one that warms up favours a side.
 */
export async function measureSideBySide<Side extends string, Sample>(
  rounds: number,
  measure: Record<Side, (round: number) => Promise<Sample>>,
): Promise<Record<Side, Sample>[]> {
  const sides = Object.keys(measure) as Side[];
  const measured: Record<Side, Sample>[] = [];
  for (let round = 0; round < rounds; round++) {
    const samples = {} as Record<Side, Sample>;
    for (const side of round % 2 === 0 ? sides : sides.toReversed())
      samples[side] = await measure[side](round);
    measured.push(samples);
  }
  return measured;
}
