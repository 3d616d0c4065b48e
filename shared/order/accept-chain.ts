import type { Clock } from '../base/basics.ts';
import type { Identifier } from '../base/identifier.ts';
import { acceptChain } from '../pki/certificate.ts';

/**
 * Checks the chain of a certificate that is for whoever ordered it, who may have further names by it.
 *
 * @param csr DER
 * @returns as a task takes it; the chain stays as the CA sent it
 */
export function acceptFor(identifiers: Identifier[], csr: Buffer, clock: Clock): (chain: string) => string {
  return chain => {
    acceptChain(chain, { identifiers, csr, mayHold: () => true }, clock.now());
    return chain;
  };
}
