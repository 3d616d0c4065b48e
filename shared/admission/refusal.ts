import { IssuanceError } from '../base/errors.ts';
import type { ChallengeType, Identifier } from '../base/identifier.ts';
import { describeCertificate } from './client-ca.ts';
import { canProveNames } from './client-proof.ts';
import type { AdmissionRequest } from './methods.ts';

// How admission refuses: in words that reveal of the configuration no more than what a client lacks.

export function deny(detail: string): never {
  throw new IssuanceError('denied', detail);
}

/** Refuses who has a one-time token that is used up. */
export function refuseUsed(): never {
  deny('the token was for one certificate, and has been used');
}

/**
 * Why no block can admit the request, whatever its body.
 *
 * @param findPossible the blocks that could admit another request
 */
export function describeStranger(
  request: AdmissionRequest,
  findPossible: (request: AdmissionRequest) => readonly unknown[],
): string {
  const { clientIp, certificate, binding } = request;
  if (binding) return describeUnbound(request);
  if (!canProveNames(request) && findPossible({ ...request, binding: undefined }).length > 0)
    return `no auth block admits ${clientIp} ${WITHOUT_PROOF}`;
  const second = toVersion2(request);
  const lack = second && findPossible(second).length > 0 ? LACKS_VERSION_2 : lackOf(request);
  const refusal = `no auth block admits ${clientIp}${lack}`;
  const isGood = certificate && !('fault' in certificate);
  return isGood ? `${refusal}; none takes the ${describeCertificate(certificate)}` : refusal;
}

const WITHOUT_PROOF = 'without a proof of the names by the client (client-proof): that takes an ACME client';

const LACKS_VERSION_2 =
  ' with an HMAC of version 1; it takes one of version 2 (hmac2), as quarry-get sends it';
const LACKS_HMAC =
  ' without an HMAC in an Authentication header, or a token; use quarry-get with --hmac-key-file or ' +
  '--token-file, or add this address as an ip line to an [auth] block on the server';
const LACKS_ADDRESS = '; add this address as an ip line to an [auth] block on the server';

function lackOf(request: AdmissionRequest): string {
  if ('binding' in request) return ' without an external account binding';
  if (request.claim) return `${LACKS_ADDRESS}, and sign with the hash that hmac_type there names`;
  return request.token ? `${LACKS_ADDRESS}, and its block has to say token = yes` : LACKS_HMAC;
}

/** The same whether its key id or its key is another: nobody is to find out which key ids there are. */
export const describeUnbound = ({ clientIp }: Pick<AdmissionRequest, 'clientIp'>) =>
  `no auth block admits ${clientIp} with this external account binding: its key id or its key is not known ` +
  'here, or not any more; register anew with both as quarry check --eab or quarry token add prints them';

/** The request as if its HMAC were of version 2, where it is of version 1. */
function toVersion2({ claim, ...request }: AdmissionRequest): AdmissionRequest | undefined {
  if (!claim || claim.once) return undefined;
  return { ...request, claim: { ...claim, once: { time: '0', nonce: '' } } };
}

/** What an HMAC is wrong with is not known here. */
export const WRONG_HMAC =
  'the HMAC does not match; compare the keys, and send the file as it was signed (curl --data-binary, not -d)';

/** Why none of the blocks has all of the names. */
export function describeRefusal(
  blocks: readonly { mayHave(identifier: Identifier): boolean; narrowed?: true }[],
  identifiers: readonly Identifier[],
): string {
  if (identifiers.length === 0) return 'there are no names to admit';
  const refused = identifiers.find(identifier => !blocks.some(block => block.mayHave(identifier)));
  if (!refused) return 'not admitted together: no auth block has all of these names; post a CSR for fewer';
  const line = refused.type === 'ip' ? 'an address line' : 'a domain line';
  const isNarrow = blocks.length > 0 && blocks.every(({ narrowed }) => narrowed);
  const remedy = isNarrow
    ? 'the token or the certificate of this client is for other names'
    : `add it as ${line} to an [auth] block on the server`;
  return `not admitted: ${refused.value}; ${remedy}`;
}

/** @param challenges all that there are for the name */
export function describeUnprovable(
  { type, value }: Identifier,
  challenges: readonly ChallengeType[],
): string {
  const needed = type === 'ip' ? 'http-01 or tls-alpn-01' : 'dns-01';
  const lack = `it takes ${needed}, and there is only ${challenges.join(', ')} for it`;
  const other = type === 'dns' && value.startsWith('*.') ? ', or leave the wildcard out' : '';
  const remedy = 'name a verification of that kind in an [auth] block on the server';
  return `not possible for ${value}: ${lack}; ${remedy}${other}`;
}

/** Of what is admitted still, but is to be ordered in another way by now. */
export const CHANGED = 'the configuration has changed since this was posted: post it again';

/** What ends a job that is judged so: a client comes again with what is only to be ordered in another way. */
export const toObjection = (why: string) =>
  new IssuanceError(why === CHANGED ? 'unavailable' : 'denied', why);
