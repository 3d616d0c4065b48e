// Names in the DNS, kept as `toName` writes them: in lower case, without the dot at their end; the root is the empty text.

export function toName(text: string): string {
  return text.toLowerCase().replace(/\.$/, '');
}

/** Whether it is a name as `toName` writes it, of letters, digits, `-` and `_`; the root is none. */
export function isDomainName(name: string): boolean {
  return name.length <= 253 && name.split('.').every(label => /^[a-z0-9_-]{1,63}$/.test(label));
}

/** Whether it can be the name of a machine: a last label of digits is taken for the end of an IPv4 address. */
export function isHostName(text: string): boolean {
  const name = toName(text);
  return isDomainName(name) && !/(^|\.)(-|\d+$)/.test(name);
}

/** Whether the name is the zone's own or below it; every name is inside the root. */
export function isInside(name: string, zone: string): boolean {
  return zone === '' || name === zone || name.endsWith(`.${zone}`);
}
