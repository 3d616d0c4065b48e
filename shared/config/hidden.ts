/** What did not stand in a file of the configuration, and how it was asked for there. */
export type Hidden = { written: string; value: string };

/** Less is no secret, and stands in any text by chance. */
const SHORTEST = 4;
/** So much of a secret is enough to know it by. */
const TELLING = 8;

/** The text with what was asked for in place of what came in. */
export function hideIn(text: string, hidden: readonly Hidden[]): string {
  const longestFirst = hidden
    .filter(({ value }) => value.length >= SHORTEST)
    .toSorted((one, other) => other.value.length - one.value.length);
  return longestFirst.reduce((shown, { value, written }) => shown.replaceAll(value, written), text);
}

/** The same of a reason for an error; where a part of what came in is still in it, it gives no reason. */
export function hideInReason(reason: string, hidden: readonly Hidden[]): string {
  const shown = hideIn(reason, hidden);
  const told = hidden.find(({ value }) => holdsPart(shown, value));
  return told === undefined ? shown : `cannot be used with what ${told.written} stands for`;
}

/** Schemes of URLs are in many reasons, and no secret. */
function holdsPart(text: string, value: string): boolean {
  const [where, what] = [text, value].map(one => one.toLowerCase().replace(/\w+:\/\//g, ' '));
  const parts = Array.from({ length: Math.max(0, (where ?? '').length - TELLING + 1) }, (_, at) =>
    (where ?? '').slice(at, at + TELLING),
  );
  return parts.some(part => what?.includes(part));
}
