// Names in the DNS are kept as `toName` writes them: in lower case, without the dot at their end. The root is
// ''.

export function toName(text: string): string {
  return text.toLowerCase().replace(/\.$/, '');
}

/** Whether it is a name as `toName` writes it, of letters, digits, `-` and `_`; the root is not. */
export function isDomainName(name: string): boolean {
  return name.length <= 253 && name.split('.').every(label => /^[a-z0-9_-]{1,63}$/.test(label));
}

/** Whether a machine can have the name. A last label of digits is taken for the end of an IPv4 address. */
export function isHostName(text: string): boolean {
  const name = toName(text);
  return isDomainName(name) && !/(^|\.)(-|\d+$)/.test(name);
}

/** Whether the name is the zone's own or below it; every name is inside the root. */
export function isInside(name: string, zone: string): boolean {
  return zone === '' || name === zone || name.endsWith(`.${zone}`);
}

/** Finds the longest of the zones that the name is inside. */
export function lowestZone(name: string, zones: readonly string[]): string | undefined {
  return zones.filter(zone => isInside(name, zone)).sort((one, other) => other.length - one.length)[0];
}

/** Lists the name itself and all above it, without the root: `a.b.c`, `b.c`, `c`. */
export function withParents(name: string): string[] {
  const labels = name.split('.');
  return labels.map((_, index) => labels.slice(index).join('.'));
}
