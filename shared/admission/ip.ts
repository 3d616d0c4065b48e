import { BlockList, isIPv4, isIPv6 } from 'node:net';
import type { AdmissionMethod } from './method.ts';

/** `ip = …`: clients by their address. */
export function clientIpMethod(cidrs: readonly string[]): AdmissionMethod {
  const contains = toAddressSet(cidrs);
  const holds = ({ clientIp }: { clientIp: string }) => contains(clientIp);
  return { possible: holds, holds };
}

/** Whether an address lies in one of `cidrs` (addresses or networks, as parseCidr of the configuration takes them). */
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

/**
 * Who the client is: the other end of the connection, or, where that is a trusted proxy, whom its X-Forwarded-For
 * names. The header is read from the right, and only past trusted proxies: what stands further left was written by a
 * stranger. At an entry that is not an address the walk stops, and the last trusted hop counts.
 */
export function clientAddress(
  remote: string,
  forwardedFor: string | undefined,
  isTrustedProxy: (address: string) => boolean,
): string {
  let address = plainAddress(remote) ?? remote;
  for (const hop of (forwardedFor ?? '').split(',').reverse()) {
    const next = plainAddress(hop.trim());
    if (next === undefined || !isTrustedProxy(address)) break;
    address = next;
  }
  return address;
}

/** An address without its zone, IPv4-mapped ones (`::ffff:192.0.2.1`, also in hex) as IPv4; undefined for other text. */
function plainAddress(text: string): string | undefined {
  if (isIPv4(text)) return text;
  if (!isIPv6(text)) return undefined;
  const [withoutZone = ''] = text.split('%');
  const canonical = new URL(`http://[${withoutZone}]`).hostname.slice(1, -1);
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical) ?? [];
  if (high === undefined || low === undefined) return canonical;
  return [high, low]
    .flatMap(group => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff])
    .join('.');
}
