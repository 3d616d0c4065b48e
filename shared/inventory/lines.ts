import { isIP } from 'node:net';

/**
 * The inventory's index is one sorted set of lines, all of score 0, so that Redis keeps them in the order of
 * their bytes: what is looked for is a range of lines that begin alike. A certificate has, for each of its
 * names, a line among all names and one among those of its auth block, one among those that are revoked where
 * it is, and a line each for its serial number and its end.
 */
export type LineKind = { of: 'names' } | { of: 'revoked' } | { of: 'block'; block: string };

/** What a line is made of, of one certificate. */
export type Indexed = {
  id: string;
  names: readonly string[];
  block?: string | undefined;
  serial: string;
  /** Milliseconds since the epoch. */
  notAfter: number;
};

/** Sorts before all that a name may hold, so that a name comes before those that begin with it. */
const END_OF_NAME = '\t';
/** Sorts before all that a label may hold, so that a domain stands right before all below it. */
const END_OF_LABEL = ' ';
const SECONDS_DIGITS = 12;

/** Labels from the last one to the first, as a domain and all below it are to stand together. */
export function toSortedName(name: string): string {
  const safe = name.replace(/[^!-~]/g, '?');
  return isIP(safe) ? safe : safe.split('.').toReversed().join(END_OF_LABEL);
}

export const linesOf = (certificate: Indexed): string[] => [
  ...nameLines({ of: 'names' }, certificate),
  ...(certificate.block === undefined
    ? []
    : nameLines({ of: 'block', block: certificate.block }, certificate)),
  `${serialPrefix(certificate.serial)}${certificate.id}`,
  `${endPrefix(certificate.notAfter)}${END_OF_NAME}${certificate.id}`,
];

export const revokedLinesOf = (certificate: Indexed): string[] => nameLines({ of: 'revoked' }, certificate);

/** A certificate without names has one line, with an empty name. */
function nameLines(kind: LineKind, { id, names }: Indexed): string[] {
  return sortedNames(names).map(name => `${kindPrefix(kind)}${name}${END_OF_NAME}${id}`);
}

export const sortedNames = (names: readonly string[]): string[] =>
  names.length === 0 ? [''] : [...new Set(names.map(toSortedName))].sort();

/** JSON escapes what could end a block's name. */
export const kindPrefix = (kind: LineKind): string =>
  kind.of === 'block' ? `b${JSON.stringify(kind.block)}` : kind.of === 'names' ? 'n' : 'r';

export const serialPrefix = (serial: string) => `s${serial.toLowerCase()}${END_OF_NAME}`;

/** Lines of certificates that end at a later time sort behind it. */
export const endPrefix = (time: number) =>
  `e${String(Math.max(0, Math.floor(time / 1000))).padStart(SECONDS_DIGITS, '0')}`;

/** The name in a line, as it is sorted. */
export const readName = (kind: LineKind, line: string) =>
  line.slice(kindPrefix(kind).length, line.lastIndexOf(END_OF_NAME));

export const idOfLine = (line: string) => line.slice(line.lastIndexOf(END_OF_NAME) + 1);

/** All that begins with a text: the ends of a range for ZRANGEBYLEX. */
export const rangeOf = (prefix: string): [from: string, to: string] => [`[${prefix}`, `(${prefix}\uffff`];

/** Of all lines of a name, spelled out. */
export const namePrefix = (name: string) =>
  `${kindPrefix({ of: 'names' })}${toSortedName(name)}${END_OF_NAME}`;

/**
 * How the sorted names begin that a glob matches: its last labels, as far as they are spelled out. Where the
 * last label is a number, it may be of an address, which is sorted from the front.
 */
export function globPrefix(glob: string): string {
  const pattern = glob.toLowerCase();
  const isSpelledOut = (label: string) => /^[!-~]+$/.test(label) && !/[*?[\]]/.test(label);
  const labels = pattern.split('.').toReversed();
  if (isIP(pattern)) return `${pattern}${END_OF_NAME}`;
  if (/^\d*$/.test(labels[0] ?? '')) return '';
  const open = labels.findIndex(label => !isSpelledOut(label));
  if (open < 0) return `${labels.join(END_OF_LABEL)}${END_OF_NAME}`;
  return labels
    .slice(0, open)
    .map(label => `${label}${END_OF_LABEL}`)
    .join('');
}

/** From sorted to as it is written. */
export const fromSortedName = (sorted: string): string =>
  isIP(sorted) ? sorted : sorted.split(END_OF_LABEL).toReversed().join('.');

/** The longest text that is in the line of each name that a glob matches: it is found faster than a glob. */
export function globText(glob: string): string {
  const texts = glob.toLowerCase().split(/\[.*\]|[*?[\].]|[^!-~]/);
  return texts.reduce((longest, text) => (text.length > longest.length ? text : longest), '');
}
