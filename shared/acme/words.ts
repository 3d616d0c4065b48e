// What a CA says, made fit to stand in one line of a log or an answer: it is hostile input.

const LONGEST_DETAIL = 500;
const LONGEST_FIRST_WORDS = 100;
/** Characters of an answer in which its first words are looked for. */
const HEAD = 4_000;

/** Control characters and white space become single blanks, and what is too long is cut. */
export function toLine(text: string, longest = LONGEST_DETAIL): string {
  return text
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, longest);
}

/**
 * Says what an answer is that cannot be read as it should: as a rule it comes from whoever stands between,
 * and its status, type and first words tell who that is.
 */
export function describeAnswer(answer: {
  status: number;
  headers?: Record<string, string | undefined>;
  data: unknown;
}): string {
  const { status, headers = {}, data } = answer;
  if (data === '') return `status ${status}, empty`;
  const type = toLine((headers['content-type'] ?? '').replace(/;.*/s, ''), LONGEST_FIRST_WORDS);
  const kind = `status ${status}, ${type || 'no content type'}`;
  return typeof data === 'string' ? `${kind}, ${JSON.stringify(firstWords(data))}` : kind;
}

/** Of a page in HTML, what a reader would see first. */
function firstWords(text: string): string {
  const head = text.slice(0, HEAD);
  const seen = /^\s*</.test(head)
    ? head.replace(/<(script|style)\b.*?(<\/\1>|$)/gis, ' ').replace(/<[^>]*(>|$)/g, ' ')
    : head;
  return toLine(seen.replace(/\p{C}/gu, ' '), LONGEST_FIRST_WORDS);
}
