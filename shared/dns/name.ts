import { randomInt } from 'node:crypto';
import { isInside } from '../base/host-name.ts';

/** Whether it is a name as `toName` writes it that can be sent as it stands: nothing escaped, no label too long. */
export function isName(name: string): boolean {
  return name.length <= 253 && name.split('.').every(label => /^[a-z0-9_*-]{1,63}$/.test(label));
}

/** Of several zones the longest that the name lies in. */
export function lowestZone(name: string, zones: readonly string[]): string | undefined {
  return zones.filter(zone => isInside(name, zone)).sort((one, other) => other.length - one.length)[0];
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
