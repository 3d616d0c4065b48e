import { describeError } from '../../../shared/base/errors.ts';
import { canonicalAddress, type Identifier, parseDnsName } from '../../../shared/base/identifier.ts';
import { UsageError } from '../command.ts';

/** `dns|example.org` or `ip|192.0.2.1`. */
export function parseTypedName(text: string): Identifier {
  const [, type, value = ''] = /^(\w+)\|(.*)$/.exec(text) ?? [];
  if (type === 'dns') return { type, value: toDnsName(value) };
  const address = type === 'ip' ? canonicalAddress(value) : undefined;
  if (address) return { type: 'ip', value: address };
  throw new UsageError(`give dns|NAME or ip|ADDRESS, in quotes, and not ${JSON.stringify(text)}`);
}

/** A DNS name or an IP address. */
export function parseName(text: string): Identifier {
  const address = canonicalAddress(text);
  return address ? { type: 'ip', value: address } : { type: 'dns', value: toDnsName(text) };
}

function toDnsName(text: string): string {
  try {
    return parseDnsName(text);
  } catch (error) {
    throw new UsageError(describeError(error));
  }
}
