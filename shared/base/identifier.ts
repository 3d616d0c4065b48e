import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';
import { domainToUnicode } from 'node:url';
import { IssuanceError } from './errors.ts';

/**
 * A name that a certificate is for (RFC 8555 section 7.1.3, RFC 8738): a lower-cased A-label DNS name,
 * perhaps with the leftmost label `*`, or an IP address in its canonical text form (RFC 5952 for IPv6,
 * without brackets).
 */
export type Identifier = { type: 'dns' | 'ip'; value: string };

/** How an identifier is proven: RFC 8555 section 8, RFC 8737, and draft-ietf-acme-dns-persist. */
export type ChallengeType = 'http-01' | 'dns-01' | 'tls-alpn-01' | 'dns-persist-01';

/**
 * Whether a CA can validate this identifier by this kind of challenge at all. A wildcard is proven in the DNS
 * alone (RFC 8555 section 7.4.1), an address never there (RFC 8738).
 */
export function canProve(challenge: ChallengeType, { type, value }: Identifier): boolean {
  const inDns = challenge === 'dns-01' || challenge === 'dns-persist-01';
  return type === 'ip' ? !inDns : inDns || !value.startsWith('*.');
}

/** Reads an IP address (RFC 8738) or else a DNS name. Throws `badCsr` with the reason. */
export function parseIdentifier(text: string): Identifier {
  const address = canonicalAddress(text);
  return address === undefined ? { type: 'dns', value: parseDnsName(text) } : { type: 'ip', value: address };
}

const label = /^(?!-)[a-z0-9-]{1,63}(?<!-)$/;

/**
 * Reads a DNS name into the form that certificates carry: lower-cased, made of A-labels (RFC 5890), perhaps
 * with a whole leftmost label `*`. Names of a single label pass, as private CAs issue for them. Throws
 * `badCsr` with the reason.
 */
export function parseDnsName(text: string): string {
  const fault = findFault(text.toLowerCase());
  if (fault) throw new IssuanceError('badCsr', `malformed name ${quoteName(text)}: ${fault}`);
  return text.toLowerCase();
}

/** Makes a name out of a hostile CSR fit to stand in one line of text. */
export function quoteName(text: string): string {
  const shown = text.length > 100 ? `${text.slice(0, 100)}…` : text;
  return JSON.stringify(shown).replace(/[\p{C}\u2028\u2029]/gu, '?');
}

function findFault(name: string): string | undefined {
  if (name === '') return 'it is empty';
  if (/[^\0-\x7f]/.test(name)) return 'international names are to be written as A-labels (xn--…)';
  if (name.length > 253) return 'it is longer than 253 characters';
  if (name.endsWith('.')) return 'it ends in a dot';
  const labels = name.split('.');
  const wildcard = labels[0] === '*';
  if (wildcard && labels.length < 3) return 'a wildcard needs at least two labels after it';
  const rest = wildcard ? labels.slice(1) : labels;
  return rest.map(findLabelFault).find(fault => fault !== undefined) ?? findWholeFault(rest);
}

function findLabelFault(text: string): string | undefined {
  if (label.test(text)) return undefined;
  if (text === '') return 'it has an empty label';
  if (text.length > 63) return 'it has a label longer than 63 characters';
  if (text.includes('*')) return 'a * stands only alone and leftmost';
  return 'its labels may hold only letters, digits and inner hyphens';
}

function findWholeFault(labels: string[]): string | undefined {
  // No top-level domain is numeric: such a name is an IP address, or will be taken for one (RFC 3696 section
  // 2).
  if (/^\d+$/.test(labels.at(-1) ?? '')) return 'its last label is a number; addresses go into IP SANs';
  if (!labels.some(isALabel)) return undefined;
  // It leaves a label as it is when its punycode is broken. One call for all of them, as each costs much.
  const unicode = domainToUnicode(labels.join('.')).split('.');
  const isBroken = labels.some((text, at) => isALabel(text) && unicode[at] === text);
  return isBroken ? 'it has an invalid A-label' : undefined;
}

const isALabel = (text: string) => text.startsWith('xn--');

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
  const all = [name];
  for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) all.push(name.slice(dot + 1));
  return all;
}

// IP addresses and networks, as text and as bytes.

const mappedPrefix = Buffer.from('00000000000000000000ffff', 'hex');

/**
 * Canonical form (RFC 5952 for IPv6) of an IP address without zone and brackets; undefined for other text.
 */
export function canonicalAddress(text: string): string | undefined {
  if (!isIP(text) || text.includes('%')) return undefined;
  return isIPv6(text) ? canonicalIPv6(text) : text;
}

/** Like `canonicalAddress`, but drops a zone and turns an IPv4-mapped IPv6 address into IPv4. */
export function plainAddress(text: string): string | undefined {
  const ipv4 = text.replace(/^::ffff:(?=\d+\.)/, ''); // as Node spells clients of a socket for both families
  if (isIPv4(ipv4)) return ipv4;
  const address = canonicalAddress(isIPv6(text) ? text.replace(/%.*/, '') : text);
  if (!address?.startsWith('::ffff:')) return address;
  const bytes = addressToBytes(address);
  return isMapped(bytes) ? bytes.subarray(12).join('.') : address;
}

/**
 * Turns an address without zone into its 4 or 16 bytes, as an IP SAN holds them (RFC 5280 section 4.2.1.6).
 */
export function addressToBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  const [before = '', after] = canonicalIPv6(address).split('::');
  const groups = (text = '') => (text === '' ? [] : text.split(':'));
  const [head, tail] = [groups(before), groups(after)];
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0');
  return Buffer.from([...head, ...zeros, ...tail].map(group => group.padStart(4, '0')).join(''), 'hex');
}

/** Turns 4 or 16 bytes into an address in canonical form; undefined for other bytes. */
export function addressFromBytes(bytes: Uint8Array): string | undefined {
  // An IPv4 address in 16 bytes is a second spelling of the same host, which CAs read in different ways.
  return isMapped(bytes) ? undefined : formatBytes(bytes);
}

/**
 * Puts an IPv6 address in brackets, as it stands in a URL or before a port; leaves any other host as it is.
 */
export function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** @param hostname as in a URL: an IPv6 address in brackets */
export function isLoopback(hostname: string): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}

/**
 * Tells why `text` is neither an address nor a network such as `192.0.2.0/24`, in words to follow it;
 * undefined when it is one. With bits set behind the prefix the typo may be in the prefix, so that is refused
 * too.
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

/** Whether every address of `inner` lies in `outer`. `findCidrFault` has found both without fault. */
export function cidrCovers(outer: string, inner: string): boolean {
  const [wide, narrow] = [toCidr(outer), toCidr(inner)];
  if (wide.bytes.length !== narrow.bytes.length || wide.bits > narrow.bits) return false;
  return mask(narrow.bytes, wide.bits).equals(wide.bytes);
}

/** Whether the network holds all addresses of its family. */
export function isEveryone(cidr: string): boolean {
  return toCidr(cidr).bits === 0;
}

/**
 * Makes a test for addresses that lie in one of the networks. `findCidrFault` has found these without fault.
 */
export function toAddressSet(cidrs: readonly string[]): (address: string) => boolean {
  // Each family has its own list: in one list `::/0` would hold every IPv4 address too.
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

/** The URL parser writes RFC 5952: lower case, no dotted tail, the first longest run of zeros as `::`. */
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
