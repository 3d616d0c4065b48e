import { isIP, isIPv6 } from 'node:net';

const mappedPrefix = Buffer.from('00000000000000000000ffff', 'hex');

/** The text form of an address of 4 or 16 bytes (RFC 5280 section 4.2.1.6), RFC 5952 for IPv6; else undefined. */
export function addressFromBytes(bytes: Uint8Array): string | undefined {
  if (bytes.length === 4) return bytes.join('.');
  // An IPv4 address in 16 bytes is a second spelling of the same host, which CAs read in different ways.
  if (bytes.length !== 16 || mappedPrefix.equals(bytes.subarray(0, 12))) return undefined;
  const groups = Buffer.from(bytes).toString('hex').match(/.{4}/g) ?? [];
  return canonicalAddress(groups.join(':'));
}

/** `text` in its canonical form (RFC 5952 for IPv6) when it is an IP address without zone and brackets. */
export function canonicalAddress(text: string): string | undefined {
  if (!isIP(text) || text.includes('%')) return undefined;
  if (!isIPv6(text)) return text;
  // WHATWG's serializer writes RFC 5952 (lower case, the first longest run of zeros as `::`).
  return new URL(`http://[${text}]`).hostname.slice(1, -1);
}

/** The 4 or 16 bytes of an address in its canonical form, as an IP SAN holds them (RFC 5280 section 4.2.1.6). */
export function addressToBytes(address: string): Buffer {
  if (!isIPv6(address)) return Buffer.from(address.split('.').map(Number));
  const [before = '', after] = address.split('::');
  const groups = (text = '') => (text === '' ? [] : text.split(':'));
  const [head, tail] = [groups(before), groups(after)];
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0');
  return Buffer.from([...head, ...zeros, ...tail].map(group => group.padStart(4, '0')).join(''), 'hex');
}
