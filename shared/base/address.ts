import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';

// IP addresses and networks, as text and as bytes.

const mappedPrefix = Buffer.from('00000000000000000000ffff', 'hex');

/** `text` in its canonical form (RFC 5952 for IPv6) when it is an IP address without zone and brackets. */
export function canonicalAddress(text: string): string | undefined {
  if (!isIP(text) || text.includes('%')) return undefined;
  return isIPv6(text) ? canonicalIPv6(text) : text;
}

/** An address in canonical form, without its zone, IPv4-mapped ones as IPv4; undefined for other text. */
export function plainAddress(text: string): string | undefined {
  const address = canonicalAddress(isIPv6(text) ? text.replace(/%.*/, '') : text);
  if (!address?.startsWith('::ffff:')) return address;
  const bytes = addressToBytes(address);
  return isMapped(bytes) ? bytes.subarray(12).join('.') : address;
}

/** The 4 or 16 bytes of an address without zone, as an IP SAN holds them (RFC 5280 section 4.2.1.6). */
export function addressToBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  const [before = '', after] = canonicalIPv6(address).split('::');
  const groups = (text = '') => (text === '' ? [] : text.split(':'));
  const [head, tail] = [groups(before), groups(after)];
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0');
  return Buffer.from([...head, ...zeros, ...tail].map(group => group.padStart(4, '0')).join(''), 'hex');
}

/** The canonical form of an address of 4 or 16 bytes; undefined for bytes that hold neither. */
export function addressFromBytes(bytes: Uint8Array): string | undefined {
  // An IPv4 address in 16 bytes is a second spelling of the same host, which CAs read in different ways.
  return isMapped(bytes) ? undefined : formatBytes(bytes);
}

/** An IPv6 address in brackets, as it stands before a port or in a URL; any other host as it is. */
export function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** @param hostname as in a URL: an IPv6 address in brackets */
export function isLoopback(hostname: string): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}

/**
 * Why `text` is neither an address nor a network such as `192.0.2.0/24`, in words to follow it; undefined when it is
 * one. Bits set behind the prefix are refused with what was probably meant, as the prefix is as likely to be the typo.
 */
export function findCidrFault(text: string): string | undefined {
  const [address = '', prefix, ...more] = text.split('/');
  if (address.includes('%')) return 'has a zone, which a network cannot have';
  if (isIP(address) === 0 || more.length > 0) return 'is not an IP address or a network such as 192.0.2.0/24';
  const longest = isIPv4(address) ? 32 : 128;
  if (prefix !== undefined && (!/^\d{1,3}$/.test(prefix) || Number(prefix) > longest))
    return `needs a number from 0 to ${longest} behind the /`;
  const { bytes, bits } = toCidr(text);
  const start = mask(bytes, bits);
  if (!start.equals(bytes))
    return `has bits set behind its prefix; did you mean ${formatBytes(start)}/${bits}?`;
  // Clients that come over a dual-stack socket count as IPv4 clients, so this form would never match.
  if (!isMapped(bytes) || bits < 96) return undefined;
  const ipv4 = bytes.subarray(12).join('.');
  return `is an IPv4 address in IPv6 form; write ${bits === 128 ? ipv4 : `${ipv4}/${bits - 96}`}`;
}

/** Whether every address of `inner` lies in `outer`; both are without `findCidrFault`. */
export function cidrCovers(outer: string, inner: string): boolean {
  const [wide, narrow] = [toCidr(outer), toCidr(inner)];
  if (wide.bytes.length !== narrow.bytes.length || wide.bits > narrow.bits) return false;
  return mask(narrow.bytes, wide.bits).equals(wide.bytes);
}

/** Whether the network holds all addresses of its family. */
export function isEveryone(cidr: string): boolean {
  return toCidr(cidr).bits === 0;
}

/** @returns whether an address lies in one of the networks, which are without `findCidrFault` */
export function toAddressSet(cidrs: readonly string[]): (address: string) => boolean {
  // A list for each family: in one list `::/0` would hold every IPv4 address too.
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const cidr of cidrs) {
    const [network = '', prefix] = cidr.split('/');
    const family = isIPv4(network) ? 'ipv4' : 'ipv6';
    if (prefix === undefined) lists[family].addAddress(network, family);
    else lists[family].addSubnet(network, Number(prefix), family);
  }
  return text => {
    const address = plainAddress(text);
    if (address === undefined) return false;
    const family = isIPv4(address) ? 'ipv4' : 'ipv6';
    return lists[family].check(address, family);
  };
}

/** WHATWG's serializer writes RFC 5952: lower case, no dotted tail, the first longest run of zeros as `::`. */
function canonicalIPv6(text: string): string {
  return new URL(`http://[${text}]`).hostname.slice(1, -1);
}

function formatBytes(bytes: Uint8Array): string | undefined {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) return undefined;
  const groups = Buffer.from(bytes).toString('hex').match(/.{4}/g) ?? [];
  return canonicalIPv6(groups.join(':'));
}

function isMapped(bytes: Uint8Array): boolean {
  return bytes.length === 16 && mappedPrefix.equals(bytes.subarray(0, 12));
}

function toCidr(text: string): { bytes: Buffer; bits: number } {
  const [address = '', prefix] = text.split('/');
  const bytes = addressToBytes(address);
  return { bytes, bits: prefix === undefined ? bytes.length * 8 : Number(prefix) };
}

function mask(bytes: Buffer, bits: number): Buffer {
  return Buffer.from(
    bytes.map((byte, index) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - 8 * index)))),
  );
}
