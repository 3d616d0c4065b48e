import type { ChallengeType, Identifier } from '../base/identifier.ts';
import { describeCertificate } from './client-ca.ts';
import type { AdmissionRequest } from './methods.ts';

// What is said to clients that are not admitted; it reveals nothing of the configuration.

/** To a client whose request no block can admit, whatever its body. */
export function describeStranger({ clientIp, claim, certificate }: AdmissionRequest): string {
  const without = claim ? '' : ' without an HMAC in an Authentication header';
  const refusal = `no auth block admits ${clientIp}${without}`;
  const isGood = certificate && !('fault' in certificate);
  return isGood ? `${refusal}; none takes the ${describeCertificate(certificate)}` : refusal;
}

/** To one that is known, but not for all of these names. */
export function describeRefusal(
  blocks: readonly { mayHave(identifier: Identifier): boolean }[],
  identifiers: Identifier[],
): string {
  if (identifiers.length === 0) return 'there are no names to admit';
  const refused = identifiers.find(identifier => !blocks.some(block => block.mayHave(identifier)));
  return refused
    ? `not admitted: ${refused.value}`
    : 'not admitted together: no auth block has all of these names';
}

/** To one that may have a name which its block cannot prove. */
export function describeUnprovable({ type, value }: Identifier, challenges: ChallengeType[]): string {
  const needed = type === 'ip' ? 'http-01 or tls-alpn-01' : 'dns-01';
  return `not possible for ${value}: it takes ${needed}, and there is only ${challenges.join(', ')} for it`;
}
