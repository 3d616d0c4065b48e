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
  const measured: Record<Side, Sample>[] = [];
  for (let round = 0; round < rounds; round++) {
    measured.push(await measureRound(round, measure));
  }
  return measured;
}

/**
 * Takes the next of every side, in turns likewise, until one of them has no more. All of them are closed in
 * the end.
 */
export async function takeSideBySide<Side extends string, Sample>(
  sides: Record<Side, AsyncGenerator<Sample, void, undefined>>,
): Promise<Record<Side, Sample>[]> {
  await using stack = new AsyncDisposableStack();
  for (const side of Object.values<AsyncGenerator<Sample, void, undefined>>(sides)) stack.use(side);
  const next = Object.fromEntries(
    Object.entries<AsyncGenerator<Sample, void, undefined>>(sides).map(([name, side]) => [
      name,
      () => side.next(),
    ]),
  ) as Record<Side, () => Promise<IteratorResult<Sample, void>>>;
  const taken: Record<Side, Sample>[] = [];
  while (true) {
    const results = await measureRound(taken.length, next);
    const samples = {} as Record<Side, Sample>;
    for (const side of Object.keys(results) as Side[]) {
      const result = results[side];
      if (result.done) return taken;
      samples[side] = result.value;
    }
    taken.push(samples);
  }
}

async function measureRound<Side extends string, Sample>(
  round: number,
  measure: Record<Side, (round: number) => Promise<Sample>>,
): Promise<Record<Side, Sample>> {
  const sides = Object.keys(measure) as Side[];
  const samples = {} as Record<Side, Sample>;
  for (const side of round % 2 === 0 ? sides : sides.toReversed()) samples[side] = await measure[side](round);
  return samples;
}
