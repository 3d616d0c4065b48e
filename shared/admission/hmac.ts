import { createHmac, timingSafeEqual } from 'node:crypto';
import { toHashName } from './hash-name.ts';
import type { AdmissionMethod } from './method.ts';

/** What a client claims: "the HMAC of my body with this hash is that". */
export type HmacClaim = {
  /** Node's name. */
  hash: string;
  digest: Buffer;
};

/**
 * Reads `hmac name=sha256, hash=<hex>` from a request's headers. Authentication is macen's name for the header;
 * Authorization is read where that one holds no HMAC. The comma may be missing, case does not matter, values may be
 * quoted, hashes may be spelt as OpenSSL 3 or hashlib do. Undefined when there is none, or when it is malformed.
 */
export function parseHmacHeader(headers: {
  authentication?: string | string[] | undefined;
  authorization?: string | undefined;
}): HmacClaim | undefined {
  // Node joins repeated headers of that name with a comma; two claims then have two names and are refused.
  const authentication = [headers.authentication ?? ''].flat().join(', ');
  return parseClaim(isHmac.test(authentication) ? authentication : (headers.authorization ?? ''));
}

/** `hmac_type`, `hmac_key`: clients that know one of the keys. */
export function hmacMethod({ type, keys }: { type: string; keys: readonly string[] }): AdmissionMethod {
  return {
    possible: ({ claim }) => claim?.hash === type,
    holds: ({ claim }, message) => {
      if (claim?.hash !== type) return false;
      // All keys are tried, so that the time does not tell which of them it was.
      return keys.map(key => isDigest(claim.digest, type, key, message)).includes(true);
    },
  };
}

function isDigest(digest: Buffer, type: string, key: string, message: Buffer): boolean {
  const expected = createHmac(type, key).update(message).digest();
  return digest.length === expected.length && timingSafeEqual(digest, expected);
}

const isHmac = /^\s*hmac\s/i;

function parseClaim(header: string): HmacClaim | undefined {
  if (!isHmac.test(header)) return undefined;
  const fields = header
    .trim()
    .split(/[\s,]+/)
    .slice(1)
    .filter(Boolean)
    .map(parseField);
  const [name, ...otherNames] = fields.filter(([field]) => field === 'name');
  const [hash, ...otherHashes] = fields.filter(([field]) => field === 'hash');
  // Of two names or hashes it is open which one is meant, so neither counts.
  if (!name || !hash || otherNames.length || otherHashes.length) return undefined;
  const type = toHashName(name[1]);
  const isHex = /^([0-9a-f]{2})+$/i.test(hash[1]);
  return type !== undefined && isHex ? { hash: type, digest: Buffer.from(hash[1], 'hex') } : undefined;
}

function parseField(text: string): [field: string, value: string] {
  const equals = text.indexOf('=');
  const value = text.slice(equals + 1);
  const quoted = value.length > 1 && value.startsWith('"') && value.endsWith('"');
  return [text.slice(0, Math.max(equals, 0)).toLowerCase(), quoted ? value.slice(1, -1) : value];
}
