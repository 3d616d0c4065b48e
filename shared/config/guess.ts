/**
 * What is to be said of a word that is not known: which one was meant, as far as it can be told, and all that
 * there are.
 */
export function guess(word: string, known: readonly string[], introduction: string): string {
  const near = findMeant(word, known);
  return `${near === undefined ? ';' : `, did you mean ${near}?`} ${introduction}: ${known.join(', ')}`;
}

/** The known word that a misspelt one comes near, where there is one. */
export function findMeant(word: string, known: readonly string[]): string | undefined {
  const near = known.map(one => ({ one, steps: distance(word, one) })).sort((a, b) => a.steps - b.steps)[0];
  const isMeant = near !== undefined && near.steps <= Math.max(1, Math.floor(word.length / 3));
  return isMeant ? near.one : undefined;
}

/** How many letters are to be put in, left out or exchanged to make one word of another (Levenshtein). */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (const [line, letter] of [...one].entries()) {
    const above = row;
    row = [line + 1];
    for (let at = 0; at < other.length; at++) {
      const kept = (above[at] ?? 0) + (letter === other[at] ? 0 : 1);
      row.push(Math.min(kept, (above[at + 1] ?? 0) + 1, (row[at] ?? 0) + 1));
    }
  }
  return row.at(-1) ?? 0;
}
