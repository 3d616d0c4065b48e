/** Jobs of one block in hand, so that names which nobody answers for keep no other block waiting. */
const MOST_OF_BLOCK = 32;
/** Milliseconds after which a job that was one too many is taken up again, and up to three times as long. */
const SHORTEST_TURN = 500;
const LONGEST_TURN = 30_000;
/** The longer a job has come in vain, the more there are: their coming alone must not keep Redis busy. */
const PART_OF_AGE = 1 / 16;

/** Counts the jobs in hand by their blocks; one of no block is never too many. */
export function openTurns() {
  const inHand = new Map<string, number>();
  return {
    take(block: string | undefined): Disposable | undefined {
      if (block === undefined) return { [Symbol.dispose]: () => {} };
      const count = inHand.get(block) ?? 0;
      if (count >= MOST_OF_BLOCK) return undefined;
      inHand.set(block, count + 1);
      return { [Symbol.dispose]: () => void inHand.set(block, (inHand.get(block) ?? 1) - 1) };
    },
  };
}

/**
 * In how many milliseconds a job that was one too many comes again.
 *
 * @param age milliseconds since it was made
 * @param chance from 0 to 1
 */
export function nextTurn(age: number, chance: number): number {
  const turn = Math.min(Math.max(age * PART_OF_AGE, SHORTEST_TURN), LONGEST_TURN);
  return turn * (1 + 2 * chance);
}
