import { isIP, isIPv4 } from 'node:net';
import type { Parse } from './section-reader.ts';

type Cidr = { bytes: number[]; bits: number };

/**
 * `192.0.2.0/24`, `2001:db8::/32` or a single address; kept as it is written. An address with bits set behind the
 * prefix is refused with what was probably meant, for it is as likely to be a typo in the prefix.
 */
export const parseCidr: Parse<string> = (text, fail) => {
  const [address = '', prefix, ...more] = text.split('/');
  if (address.includes('%')) return fail('has a zone, which a network cannot have');
  if (isIP(address) === 0 || more.length > 0)
    return fail('is not an IP address or a network such as 192.0.2.0/24');
  const longest = isIPv4(address) ? 32 : 128;
  if (prefix !== undefined && (!/^\d{1,3}$/.test(prefix) || Number(prefix) > longest)) {
    return fail(`needs a number from 0 to ${longest} behind the /`);
  }
  const { bytes, bits } = toCidr(text);
  const start = mask(bytes, bits);
  if (start.some((byte, index) => byte !== bytes[index])) {
    return fail(`has bits set behind its prefix; did you mean ${formatBytes(start)}/${bits}?`);
  }
  // Clients that come over a dual-stack socket count as IPv4 clients, so this form would never match.
  if (isMapped(bytes) && bits >= 96) {
    const ipv4 = formatBytes(bytes.slice(12));
    return fail(`is an IPv4 address in IPv6 form; write ${bits === 128 ? ipv4 : `${ipv4}/${bits - 96}`}`);
  }
  return text;
};

/** Whether every address of `inner` lies in `outer`; both as parseCidr accepts them. */
export function cidrCovers(outer: string, inner: string): boolean {
  const [wide, narrow] = [toCidr(outer), toCidr(inner)];
  if (wide.bytes.length !== narrow.bytes.length || wide.bits > narrow.bits) return false;
  return mask(narrow.bytes, wide.bits).every((byte, index) => byte === wide.bytes[index]);
}

/** Whether it holds all addresses of its family. */
export function isEveryone(cidr: string): boolean {
  return toCidr(cidr).bits === 0;
}

function toCidr(text: string): Cidr {
  const [address = '', prefix] = text.split('/');
  const bytes = isIPv4(address) ? address.split('.').map(Number) : toIPv6Bytes(address);
  return { bytes, bits: prefix === undefined ? bytes.length * 8 : Number(prefix) };
}

function toIPv6Bytes(address: string): number[] {
  // URL writes every form of an address in one: no dotted tail, one `::` at most.
  const plain = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [head = [], tail] = plain.split('::').map(part => (part === '' ? [] : part.split(':')));
  const zeros = tail ? Array<string>(8 - head.length - tail.length).fill('0') : [];
  return [...head, ...zeros, ...(tail ?? [])]
    .map(group => Number.parseInt(group, 16))
    .flatMap(n => [n >> 8, n & 0xff]);
}

function mask(bytes: number[], bits: number): number[] {
  return bytes.map((byte, index) => {
    const kept = Math.min(8, Math.max(0, bits - 8 * index));
    return byte & (0xff00 >> kept) & 0xff;
  });
}

function isMapped(bytes: number[]): boolean {
  return bytes.length === 16 && bytes.slice(0, 12).every((byte, index) => byte === (index < 10 ? 0 : 0xff));
}

function formatBytes(bytes: number[]): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  );
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}
