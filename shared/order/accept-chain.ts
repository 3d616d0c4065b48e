import type { Clock } from '../base/basics.ts';
import type { Identifier } from '../base/identifier.ts';
import { acceptChain } from '../pki/certificate.ts';
import type { OrderTask } from './order-state.ts';

/**
 * Checks the chain of a certificate that is for whoever ordered it, who may have further names by it.
 *
 * @param csr DER
 * @returns as a task takes it
 */
export function acceptFor(identifiers: Identifier[], csr: Buffer, clock: Clock): OrderTask['accept'] {
  return chain => void acceptChain(chain, { identifiers, csr, mayHold: () => true }, clock.now());
}
