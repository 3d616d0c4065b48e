// What a CA says, made fit to stand in one line of a log or an answer: it is hostile input.

const LONGEST_DETAIL = 500;

/** Control characters and white space become single blanks, and what is too long is cut. */
export function toLine(text: string): string {
  return text
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, LONGEST_DETAIL);
}
