import { domainToASCII } from 'node:url';

/** One character of a name, or any number of them. */
type Token = 'star' | ((character: string) => boolean);

/**
 * Python's fnmatch, which macen's `domain` lines are written for: `*` any characters, dots too; `?` one; `[seq]` one of
 * these, with ranges; `[!seq]` any other; a `[` without end is itself. Whoever is to get a wildcard certificate needs a
 * glob that says so: `*.` in front, or `*` alone.
 *
 * @returns whether a lower-cased name of A-labels matches
 */
export function toDomainGlob(glob: string): (name: string) => boolean {
  const pattern = toAsciiLabels(glob.toLowerCase());
  const tokens = compileGlob(pattern);
  const takesWildcards = pattern === '*' || pattern.startsWith('*.');
  return name => (takesWildcards || !name.startsWith('*')) && matchTokens(tokens, name).matches;
}

/**
 * Matches by going back to the last star only, which is enough, as an earlier star could only take what the last one can
 * take too. So no name costs more steps than its length times the number of tokens.
 */
export function matchTokens(tokens: readonly Token[], name: string): { matches: boolean; steps: number } {
  let [at, token, steps] = [0, 0, 0];
  let star: { token: number; at: number } | undefined;
  for (; at < name.length || token < tokens.length; steps++) {
    const wanted = tokens[token];
    if (wanted === 'star') {
      star = { token, at };
      token++;
    } else if (at < name.length && wanted?.(name.charAt(at))) {
      token++;
      at++;
    } else if (star && star.at < name.length) {
      star.at++;
      at = star.at;
      token = star.token + 1;
    } else {
      return { matches: false, steps };
    }
  }
  return { matches: true, steps };
}

/** Several stars in a row are one. */
export function compileGlob(pattern: string): Token[] {
  const tokens: Token[] = [];
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
      tokens.push(other => other === character);
    }
  }
  return tokens;
}

/** A `]` right behind `[` or `[!` is one of the sequence. */
function findBracketEnd(pattern: string, start: number): number {
  const first = pattern.charAt(start + 1) === '!' ? start + 2 : start + 1;
  return pattern.indexOf(']', first + 1);
}

function compileSequence(text: string): Token {
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
function toAsciiLabels(glob: string): string {
  return glob
    .split('.')
    .map(label =>
      /^[\0-\x7f]*$/.test(label) || /[*?[\]]/.test(label) ? label : domainToASCII(label) || label,
    )
    .join('.');
}
