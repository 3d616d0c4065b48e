// Reads TypeScript just far enough for the tests of the house: where comments, literals and functions are.

/** The text of a file, and for each of its characters whether it is code, in a comment or in a literal. */
export type ScannedSource = { text: string; kinds: string };

/** In `kinds`. A literal counts from quote to quote, a template with all that is interpolated. */
export const CODE = 'c';
export const COMMENT = '/';
export const LITERAL = 's';

export function scanSource(text: string): ScannedSource {
  let kinds = '';
  for (let at = 0; at < text.length; ) {
    const code = endOfCode(text, at);
    const { kind, end } = code > at ? { kind: CODE, end: code } : readToken(text, at, kinds);
    kinds += kind.repeat(end - at);
    at = end;
  }
  return { text, kinds };
}

/** The text without what is in comments and literals; every character keeps its place. */
export function codeOf({ text, kinds }: ScannedSource): string {
  const parts = [...kinds.matchAll(/c+|[^c]+/g)].map(found => {
    const piece = text.slice(found.index, found.index + found[0].length);
    return found[0].startsWith(CODE) ? piece : piece.replace(/./g, ' ');
  });
  return parts.join('');
}

function readToken(text: string, at: number, kinds: string): { kind: string; end: number } {
  if (text.startsWith('//', at)) return { kind: COMMENT, end: endOf(text, '\n', at) };
  if (text.startsWith('/*', at)) return { kind: COMMENT, end: endOf(text, '*/', at + 2) + 2 };
  if (text[at] === '`') return { kind: LITERAL, end: endOfTemplate(text, at) };
  const literal = text[at] === '/' ? (beginsRegExp(text, at, kinds) ? regExp : undefined) : quoted;
  if (literal) literal.lastIndex = at;
  const found = literal?.exec(text);
  return found ? { kind: LITERAL, end: at + found[0].length } : { kind: CODE, end: at + 1 };
}

function endOfCode(text: string, from: number): number {
  opening.lastIndex = from;
  return opening.exec(text)?.index ?? text.length;
}

/** Only at these can something else than code begin. */
const opening = /['"`/]/g;

const quoted = /'(?:[^'\\\n]|\\[\s\S])*'|"(?:[^"\\\n]|\\[\s\S])*"/y;
const regExp = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y;

function endOf(text: string, what: string, from: number): number {
  const found = text.indexOf(what, from);
  return found < 0 ? text.length : found;
}

/** Behind a value a slash divides. */
function beginsRegExp(text: string, at: number, kinds: string): boolean {
  let before = at - 1;
  while (before >= 0 && (kinds[before] === COMMENT || /\s/.test(text[before] ?? ''))) before--;
  const word = /\w+$/.exec(text.slice(Math.max(0, before - 10), before + 1))?.[0];
  if (word) return ['return', 'case', 'of', 'in', 'typeof', 'await', 'yield'].includes(word);
  return !/[)\]'"`]/.test(text[before] ?? '');
}

function endOfTemplate(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '`') return at + 1;
    else if (text.startsWith('${', at)) at = endOfInterpolation(text, at + 2);
  }
  return text.length;
}

/** @returns the place of its closing brace */
function endOfInterpolation(text: string, start: number): number {
  let depth = 0;
  let kinds = ' '.repeat(start);
  for (let at = start; at < text.length; ) {
    if (text[at] === '}' && depth-- === 0) return at;
    if (text[at] === '{') depth++;
    const { kind, end } = readToken(text, at, kinds);
    kinds += kind.repeat(end - at);
    at = end;
  }
  return text.length;
}

/**
 * The functions with a body in braces: the lines from the opening brace to the closing one, and where it
 * opens.
 */
export function findFunctions(source: ScannedSource): { line: number; lines: number }[] {
  const code = codeOf(source);
  const arrows = [...code.matchAll(/=>\s*\{/g)].map(found => found.index + found[0].length - 1);
  const heads = [...code.matchAll(/\bfunction\b[^(]*\(|^\s*(?:[a-z]+ )*\*?[#\w[\].]+(?:<[^()]*>)?\(/gm)]
    .filter(([head]) => !/^\s*(if|for|while|switch|catch|return|await|new|throw)\b/.test(head))
    .map(found => bodyAfter(code, found.index + found[0].length - 1));
  const bodies = new Set([...arrows, ...heads.filter(open => open !== undefined)]);
  const lineOf = (at: number) => code.slice(0, at).split('\n').length;
  return [...bodies].map(open => {
    const line = lineOf(open);
    return { line, lines: lineOf(closing(code, open)) - line + 1 };
  });
}

/** @param open where the list of parameters opens; @returns where the body opens, if there is one */
function bodyAfter(code: string, open: number): number | undefined {
  for (let at = closing(code, open) + 1; at < code.length; at++) {
    const char = code[at] ?? '';
    if (/[;})\]]/.test(char) || (char === '=' && code[at + 1] !== '>')) return undefined;
    if (char === '(' || char === '[') at = closing(code, at);
    if (char !== '{') continue;
    // Braces belong to the type of the result where it still lacks something.
    const before = code.slice(0, at).trimEnd();
    if (!/([:|&<,]|=>)$/.test(before)) return at;
    at = closing(code, at);
  }
  return undefined;
}

const pairs: Record<string, string> = { '(': ')', '{': '}', '[': ']' };

function closing(code: string, open: number): number {
  const expected: string[] = [];
  for (let at = open; at < code.length; at++) {
    const char = code[at] ?? '';
    if (pairs[char]) expected.push(pairs[char]);
    else if (char === expected.at(-1) && expected.pop() && expected.length === 0) return at;
  }
  return code.length;
}
