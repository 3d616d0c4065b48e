import { domainToASCII } from 'node:url';

// What a glob of names is put together from.

/** Any number of characters, this one, or one of some. */
export type GlobToken = 'star' | string | ((character: string) => boolean);

/** Several stars in a row are one. */
export function compileGlob(pattern: string): GlobToken[] {
  const tokens: GlobToken[] = [];
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern.charAt(at);
    const end = character === '[' ? findBracketEnd(pattern, at) : -1;
    if (character === '*') {
      if (tokens.at(-1) !== 'star') tokens.push('star');
    } else if (character === '?') {
      tokens.push(() => true);
    } else if (end > 0) {
      tokens.push(compileSequence(pattern.slice(at + 1, end)));
      at = end;
    } else {
      tokens.push(character);
    }
  }
  return tokens;
}

/** A `]` right behind `[` or `[!` is one of the sequence. */
function findBracketEnd(pattern: string, start: number): number {
  const first = pattern.charAt(start + 1) === '!' ? start + 2 : start + 1;
  return pattern.indexOf(']', first + 1);
}

function compileSequence(text: string): (character: string) => boolean {
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
