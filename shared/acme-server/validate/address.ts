import { describeError } from '../../base/errors.ts';
import { type Identifier, plainAddress, toAddressSet } from '../../base/identifier.ts';
import { isReserved } from '../../base/reserved-addresses.ts';
import { findAddresses } from '../../solver/find-addresses.ts';
import type { Sight } from './look.ts';

/** Milliseconds. */
const LONGEST_LOOK_UP = 5_000;

/**
 * Whether a name leads to the client that asks for it; an address has to be the client's own.
 *
 * @returns why it does not, in one line for the client that tells no address which is not public; '' where it
 *   does. Rejects with the reason of the signal alone
 */
export async function findForeign(
  { type, value }: Identifier,
  { resolvers, networks, client }: Pick<Sight, 'resolvers' | 'networks' | 'client'>,
  signal: AbortSignal,
): Promise<string> {
  if (value.startsWith('*.')) return `${value} leads nowhere by itself: a wildcard takes dns-01`;
  const isAllowed = toAddressSet(networks);
  const isHidden = (address: string) => isReserved(address) && !isAllowed(address);
  if (isHidden(client)) return `${value} cannot be proven by your address, ${client}, as it is ${NOT_PUBLIC}`;
  let found = [value];
  try {
    const either = AbortSignal.any([signal, AbortSignal.timeout(LONGEST_LOOK_UP)]);
    if (type === 'dns') found = await findAddresses(value, resolvers, either);
  } catch (error) {
    signal.throwIfAborted();
    return `${value}: ${describeError(error)}`;
  }
  if (found.some(address => plainAddress(address) === client)) return '';
  const shown = found.filter(address => !isHidden(address));
  const where = shown.length > 0 ? shown.slice(0, MOST_SHOWN).join(', ') : 'no public address';
  return type === 'ip'
    ? `${value} is not your address, which is ${client}`
    : `${value} leads to ${where}, and your address is ${client}`;
}

const NOT_PUBLIC = 'not public and no client-proof-network has it';
const MOST_SHOWN = 5;
