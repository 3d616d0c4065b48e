import { createHmac, timingSafeEqual } from 'node:crypto';
import type { AccountBinding } from '../admission/methods.ts';
import { type PublicJwk, parseJwk, thumbprintOf, toJws } from './jws.ts';
import { malformed } from './problem.ts';
import { parseJsonObject } from './strict-json.ts';

// External account binding (RFC 8555 section 7.3.4): a JWS by a key that the operator gave to the client. The
// JWS itself is kept with the account, so that whose key made it is judged by the keys of today.

/** A binding as it is kept: what its protected header says of its key, and the JWS. */
export type SealedBinding = { kid: string; jws: { protected: string; payload: string; signature: string } };

/** The hashes of the algorithms that a binding may have (RFC 7518 section 3.2), whatever `hmac_type` says. */
const hashes: Record<string, string> = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' };

/** Characters: more than the largest key that is taken needs. */
const LONGEST = 8_192;
const LONGEST_KID = 256;

/**
 * The `externalAccountBinding` of a newAccount request; whether its MAC is good is not asked.
 *
 * @param account the key that the request is signed with, by its thumbprint
 * @param url of newAccount
 * @throws AcmeError `malformed` or `badPublicKey`
 */
export async function parseBinding(
  value: unknown,
  { thumbprint, url }: { thumbprint: string; url: string },
): Promise<SealedBinding> {
  const what = 'the external account binding';
  const { header, payload, flattened } = toJws(value, what);
  const { alg, kid, nonce } = header;
  if (hashOf(alg) === undefined) malformed(`${what} is signed by HS256, HS384 or HS512 alone`);
  if (kid === undefined || kid === '' || kid.length > LONGEST_KID) malformed(`${what} needs a key id as kid`);
  if (nonce !== undefined) malformed(`${what} has a nonce, which it must not have`);
  if (header.url !== url) malformed(`the url of ${what} is not that of newAccount: ${url}`);
  if (Object.values(flattened).join('').length > LONGEST) malformed(`${what} is too long`);
  const bound: PublicJwk = parseJwk(parseJsonObject(payload, `the payload of ${what}`));
  if ((await thumbprintOf(bound)) !== thumbprint) malformed(`${what} is for another account key`);
  return { kid, jws: flattened };
}

const hashOf = (alg: string) => (Object.hasOwn(hashes, alg) ? hashes[alg] : undefined);

/** As admission judges it. */
export function toAccountBinding({ kid, jws }: SealedBinding): AccountBinding {
  const signature = Buffer.from(jws.signature, 'base64url');
  const message = `${jws.protected}.${jws.payload}`;
  const hash = hashOf(readAlgorithm(jws.protected));
  return {
    kid,
    isMadeWith(key) {
      const mac = hash === undefined ? undefined : createHmac(hash, key).update(message).digest();
      return mac !== undefined && mac.length === signature.length && timingSafeEqual(mac, signature);
    },
  };
}

function readAlgorithm(header: string): string {
  return toJws({ protected: header, payload: '', signature: '' }, 'the external account binding').header.alg;
}
