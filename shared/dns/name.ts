import { randomInt } from 'node:crypto';

// Names are kept as `toName` writes them: lower-cased, without the dot at their end; the root is the empty text.

export function toName(text: string): string {
  return text.toLowerCase().replace(/\.$/, '');
}

/** Whether it is a name as `toName` writes it that can be sent as it stands: nothing escaped, no label too long. */
export function isName(name: string): boolean {
  return name.length <= 253 && name.split('.').every(label => /^[a-z0-9_*-]{1,63}$/.test(label));
}

/** Whether the name is the zone's own or below it; everything lies in the root. */
export function liesIn(name: string, zone: string): boolean {
  return zone === '' || name === zone || name.endsWith(`.${zone}`);
}

/** Of several zones the longest that the name lies in. */
export function lowestZone(name: string, zones: readonly string[]): string | undefined {
  return zones.filter(zone => liesIn(name, zone)).sort((one, other) => other.length - one.length)[0];
}

/** The name itself and all above it, without the root: `a.b.c`, `b.c`, `c`. */
export function withParents(name: string): string[] {
  const labels = name.split('.');
  return labels.map((_, index) => labels.slice(index).join('.'));
}

/** On the wire, uncompressed (RFC 1035 section 3.1). */
export function encodeName(name: string): Buffer {
  const labels = name === '' ? [] : name.split('.');
  const parts = labels.map(label =>
    Buffer.concat([Buffer.from([label.length]), Buffer.from(label, 'latin1')]),
  );
  return Buffer.concat([...parts, Buffer.alloc(1)]);
}

/** Of a message; nobody who does not see the question can guess it (RFC 5452 section 9.2). */
export const newId = () => randomInt(0x1_0000);
