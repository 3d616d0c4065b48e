import { isIPv4, isIPv6 } from 'node:net';
import { plainAddress } from '../base/identifier.ts';
import { deny } from './refusal.ts';

/**
 * The address of a client whose request a proxy passed on. X-Forwarded-For is read from the right, and only
 * past trusted proxies, as a stranger may have written what stands further left.
 *
 * @param peer the other end of the connection
 * @param forwardedFor the header, several joined by commas
 * @throws IssuanceError `denied` where a trusted proxy names no address: the client is not the proxy, which
 *   an `ip` line may admit, and nothing left of an empty entry can be believed
 */
export function forwardedAddress(
  peer: string,
  forwardedFor: string,
  isTrustedProxy: (address: string) => boolean,
): string {
  let address = peer;
  for (const hop of forwardedFor.split(',').reverse()) {
    if (!isTrustedProxy(address)) break;
    address = parseHop(hop.trim()) ?? deny(describeHop(hop.trim()));
  }
  return address;
}

/** `192.0.2.1`, `192.0.2.1:51234`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:443`. */
function parseHop(hop: string): string | undefined {
  const [, v6, v4, port = '0'] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d{1,5}))?$/.exec(hop) ?? [];
  const hasForm = v6 !== undefined ? isIPv6(v6) : v4 !== undefined && isIPv4(v4);
  return plainAddress(hasForm && Number(port) <= 65535 ? (v6 ?? v4 ?? '') : hop);
}

const LONGEST_QUOTE = 60;

function describeHop(hop: string): string {
  if (hop === '') return 'X-Forwarded-For has an empty entry: the client is not known';
  const text = hop.length > LONGEST_QUOTE ? `${hop.slice(0, LONGEST_QUOTE)}…` : hop;
  return `X-Forwarded-For has ${JSON.stringify(text)}, which is no address: the client is not known`;
}
