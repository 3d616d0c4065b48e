import { isIPv4 } from 'node:net';
import { addressToBytes, findCidrFault } from '../base/identifier.ts';
import type { Parse } from './section-reader.ts';

/**
 * `192.0.2.0/24`, `2001:db8::/32` or a single address, kept as it is written; or macen's other spellings of
 * an IPv4 network, `192.0.2.0/255.255.255.0` and `192.0.2.0-192.0.2.255`, which come out as the first.
 */
export const parseCidr: Parse<string> = (text, fail) => {
  const cidr = fromMask(text, fail) ?? fromRange(text, fail) ?? text;
  const fault = findCidrFault(cidr);
  return fault === undefined ? cidr : fail(fault);
};

function fromMask(text: string, fail: (reason: string) => never): string | undefined {
  const [network = '', mask = ''] = text.split('/');
  if (!isIPv4(network) || !isIPv4(mask)) return undefined;
  const bits = Math.clz32(~toNumber(mask));
  if (toNumber(mask) !== 2 ** 32 - 2 ** (32 - bits)) return fail(`has ${mask} in place of a netmask`);
  return `${network}/${bits}`;
}

function fromRange(text: string, fail: (reason: string) => never): string | undefined {
  const [first = '', last = '', ...more] = text.split('-').map(one => one.trim());
  if (!isIPv4(first) || !isIPv4(last) || more.length > 0) return undefined;
  const bits = Math.clz32(toNumber(first) ^ toNumber(last));
  const size = 2 ** (32 - bits);
  if (toNumber(first) % size === 0 && toNumber(last) - toNumber(first) === size - 1)
    return `${first}/${bits}`;
  return fail('is a range that is no whole network; write the networks that it is made of');
}

const toNumber = (address: string): number => addressToBytes(address).readUInt32BE();
