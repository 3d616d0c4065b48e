import { plainAddress, toAddressSet } from '../base/address.ts';
import type { AdmissionMethod } from './method.ts';

export { toAddressSet };

/** `ip = …`: clients by their address. */
export function clientIpMethod(cidrs: readonly string[]): AdmissionMethod {
  const contains = toAddressSet(cidrs);
  const holds = ({ clientIp }: { clientIp: string }) => contains(clientIp);
  return { possible: holds, holds };
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
