import { canonicalAddress, type Identifier, isDomainName, toName } from '../../shared/base/identifier.ts';

const v4 = /^(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})\.in-addr\.arpa$/;
const v6 = /^((?:[0-9a-f]\.){32})ip6\.arpa$/;

/**
 * The identifier that a CA means with a server name (SNI): a DNS name, or for an address its name in the
 * reverse tree (RFC 8738 section 6). `undefined` for what is neither.
 */
export function fromServerName(serverName: string): Identifier | undefined {
  const name = toName(serverName);
  const address = toAddress(name);
  if (address !== undefined) return { type: 'ip', value: address };
  return isDomainName(name) ? { type: 'dns', value: name } : undefined;
}

function toAddress(name: string): string | undefined {
  const octets = v4.exec(name)?.[1]?.split('.').toReversed();
  if (octets) return canonicalAddress(octets.join('.'));
  const nibbles = v6.exec(name)?.[1]?.replaceAll('.', '');
  const groups = nibbles && [...nibbles].toReversed().join('').match(/.{4}/g);
  return groups ? canonicalAddress(groups.join(':')) : undefined;
}
