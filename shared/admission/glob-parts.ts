import { domainToASCII } from 'node:url';

// What a glob of names is put together from, beside its stars.

/** A `]` right behind `[` or `[!` is one of the sequence. */
export function findBracketEnd(pattern: string, start: number): number {
  const first = pattern.charAt(start + 1) === '!' ? start + 2 : start + 1;
  return pattern.indexOf(']', first + 1);
}

/** @param text what stands between the brackets */
export function compileSequence(text: string): (character: string) => boolean {
  const negated = text.startsWith('!');
  const sequence = negated ? text.slice(1) : text;
  const ranges: [from: string, to: string][] = [];
  for (let at = 0; at < sequence.length; at++) {
    const isRange = sequence.charAt(at + 1) === '-' && at + 2 < sequence.length;
    const to = isRange ? at + 2 : at;
    ranges.push([sequence.charAt(at), sequence.charAt(to)]);
    at = to;
  }
  return character => ranges.some(([from, to]) => from <= character && character <= to) !== negated;
}

/** Names come as A-labels, so labels of the glob that hold no glob characters are turned into them. */
export function toAsciiLabels(glob: string): string {
  return glob
    .split('.')
    .map(label =>
      /^[\0-\x7f]*$/.test(label) || /[*?[\]]/.test(label) ? label : domainToASCII(label) || label,
    )
    .join('.');
}
