import { getHashes } from 'node:crypto';

/** Python's hashlib and OpenSSL name these otherwise than Node does. */
const otherNames: Record<string, string> = {
  blake2b: 'blake2b512',
  'blake2b-512': 'blake2b512',
  blake2s: 'blake2s256',
  'blake2s-256': 'blake2s256',
  rmd160: 'ripemd160',
  'ripemd-160': 'ripemd160',
};

const accepted = [
  ...['sha224', 'sha256', 'sha384', 'sha512', 'sha512-224', 'sha512-256'],
  ...['sha3-224', 'sha3-256', 'sha3-384', 'sha3-512', 'blake2b512', 'blake2s256', 'sm3', 'ripemd160'],
];

/** The hashes that an HMAC may use, by Node's names. */
export const hashNames: readonly string[] = accepted.filter(name => getHashes().includes(name));

/**
 * Node's name of a hash, whichever way it is spelt: `SHA256`, `sha-256`, OpenSSL 3's `sha2-256`, hashlib's
 * `sha3_256`. Undefined for one that is unknown or not accepted. A client's header and the configuration are both read
 * with this, so that they agree.
 */
export function toHashName(spelling: string): string | undefined {
  const plain = normalise(spelling);
  const name = otherNames[plain] ?? plain;
  return hashNames.includes(name) ? name : undefined;
}

/** Hashes that macen takes and Quarry refuses. */
export function isBrokenHash(spelling: string): boolean {
  return ['md5', 'sha1', 'sha-1', 'md5-sha1'].includes(normalise(spelling));
}

function normalise(spelling: string): string {
  return spelling
    .toLowerCase()
    .replace(/[_/]/g, '-')
    .replace(/^sha2?-(?=224|256|384|512)/, 'sha');
}
