/** One measurement of each side. */
export type Pair<Sample> = { quarry: Sample; beside: Sample };

/**
 * Measures both sides in turn, and in the other order in every second round (A B, B A, …), so that neither a machine
 * that slows down nor one that warms up favours a side.
 */
export async function measureSideBySide<Sample>(
  rounds: number,
  measure: Pair<(round: number) => Promise<Sample>>,
): Promise<Pair<Sample>[]> {
  const pairs: Pair<Sample>[] = [];
  for (let round = 0; round < rounds; round++) {
    if (round % 2 === 0) {
      pairs.push({ quarry: await measure.quarry(round), beside: await measure.beside(round) });
    } else {
      const beside = await measure.beside(round);
      pairs.push({ quarry: await measure.quarry(round), beside });
    }
  }
  return pairs;
}
