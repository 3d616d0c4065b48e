import { getHashes, hash, timingSafeEqual } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { parseOnceOnly, type TakeOnce, toSignedBytes } from './hmac2.ts';
import type { AccountBinding, AdmissionMethod, AdmissionRequest, HmacClaim, Verdict } from './methods.ts';
import { describeUnbound } from './refusal.ts';

// HMACs: of clients' requests, and of what Redis carries.

/**
 * `hmac_type`, `hmac_key`: clients that know one of the keys. `hmac = v2` takes no other version of a
 * request's HMAC. Accounts that are bound by one of the keys are known for as long as it is there.
 *
 * @param block its name, which is the key id of bindings
 */
export function hmacMethod(
  block: string,
  { type, keys, version }: { type: string; keys: readonly string[]; version?: 2 },
  takeOnce: TakeOnce,
): AdmissionMethod {
  const macs = keys.map(key => rememberMacs(openHmac(type, key)));
  const isPossible = (claim: HmacClaim | undefined): claim is HmacClaim =>
    claim?.hash === type && (version === undefined || claim.once !== undefined);
  return {
    possible: ({ claim, binding }) => isPossible(claim) || binding?.kid === block,
    holds: (request, body) => {
      const { claim, binding } = request;
      if (binding?.kid === block) return judgeBinding(binding, keys, request);
      if (!isPossible(claim)) return undefined;
      const { once } = claim;
      const message = once ? toSignedBytes(request, once, body ?? NOTHING, type) : (body ?? pathOf(request));
      // All keys are tried, so that the time does not reveal which of them matched.
      const at = macs.map(mac => isEqual(claim.digest, mac(message))).indexOf(true);
      const mac = macs[at];
      if (!mac) return undefined;
      const known = { by: `hmac key ${at + 1}` };
      return once ? takeOnce(nameKey(mac), once).then(refused => (refused ? { refused } : known)) : known;
    },
  };
}

function judgeBinding(
  { isMadeWith }: AccountBinding,
  keys: readonly string[],
  request: AdmissionRequest,
): Verdict {
  const at = keys.map(isMadeWith).indexOf(true); // all are tried, as above
  return at < 0 ? { refused: describeUnbound(request) } : { by: `hmac key ${at + 1}`, bound: true };
}

const NOTHING = Buffer.alloc(0);

/** What a request without a body signs in version 1. */
const pathOf = ({ target }: AdmissionRequest) => Buffer.from(target.replace(/\?.*/, ''));

/**
 * HMAC (RFC 2104) with one key, whose two pads are made once: the two hashes that are left cost a fifth of
 * what node's Hmac object does.
 *
 * @param type one of `hashNames`
 */
function openHmac(type: string, key: string | Buffer): (message: Buffer) => Buffer {
  const size = blockSizes[type];
  if (size === undefined) throw new Error(`the block size of ${type} is not known`);
  const bytes = typeof key === 'string' ? Buffer.from(key) : key;
  const block = Buffer.concat([bytes.length > size ? hash(type, bytes, 'buffer') : bytes], size);
  const [inner, outer] = [block.map(byte => byte ^ 0x36), block.map(byte => byte ^ 0x5c)];
  const hashAfter = (pad: Uint8Array, bytes: Buffer) => {
    // Node makes a string of the digest in a third of the time that it takes for a buffer.
    return Buffer.from(hash(type, Buffer.concat([pad, bytes]), 'binary'), 'binary');
  };
  return message => hashAfter(outer, hashAfter(inner, message));
}

/** Bodies that are posted again are the same Buffer, so their HMACs are computed once. */
function rememberMacs(mac: (message: Buffer) => Buffer): (message: Buffer) => Buffer {
  const known = new WeakMap<Buffer, Buffer>();
  return message => {
    const last = known.get(message);
    if (last) return last;
    const digest = mac(message);
    known.set(message, Buffer.alloc(digest.length, digest)); // else it keeps 8 KiB
    return digest;
  };
}

/** What Redis may know a key by. */
const nameKey = (mac: (message: Buffer) => Buffer) => mac(Buffer.from('name')).toString('hex', 0, 8);

/** Takes the same time whichever bytes differ. */
function isEqual(digest: Buffer, expected: Buffer): boolean {
  return digest.length === expected.length && timingSafeEqual(digest, expected);
}

/**
 * Says of what Redis carries that it is of this installation: Redis does not know the secret that a seal is
 * made with. What is `of` something is of nothing else, so that nothing can be passed off as another's.
 */
export type Seals = {
  /** In hex. @param of what the text is of, such as `result <job>` @param text JSON: without a line's end */
  sealOf(of: string, text: string): string;
  isSeal(seal: unknown, of: string, text: string): boolean;
};

/** @param secret the installation's */
export function openSeals(secret: Buffer): Seals {
  const mac = openHmac('sha256', secret);
  const sealOf: Seals['sealOf'] = (of, text) => mac(Buffer.from(`${of}\n${text}`)).toString('hex');
  const isSeal: Seals['isSeal'] = (seal, of, text) =>
    isEqual(Buffer.from(`${seal}`), Buffer.from(sealOf(of, text)));
  return { sealOf, isSeal };
}

/** A text with its seal in front. */
export const toSealed = (seals: Seals, of: string, text: string) => `${seals.sealOf(of, text)} ${text}`;

/** The text of what `toSealed` gave; `undefined` where it bears no seal for that. */
export function fromSealed(seals: Seals, of: string, sealed: string): string | undefined {
  const end = sealed.indexOf(' ');
  const text = sealed.slice(end + 1);
  return seals.isSeal(sealed.slice(0, Math.max(end, 0)), of, text) ? text : undefined;
}

/** An object with its seal beside what is in it. */
export const withSeal = <Value extends object>(seals: Seals, of: string, value: Value) => ({
  ...value,
  seal: seals.sealOf(of, JSON.stringify(value)),
});

/** Whether `withSeal` made it for that. Redis may hold anything in its place. */
export function bearsSeal(seals: Seals, of: string, sealed: unknown): boolean {
  if (typeof sealed !== 'object' || sealed === null) return false;
  const { seal, ...value } = sealed as { seal?: unknown };
  return seals.isSeal(seal, of, JSON.stringify(value));
}

/**
 * Reads `hmac name=sha256, hash=<hex>`, or that of version 2, from a request's headers. Authentication is
 * macen's name for the header; Authorization is read where that one holds no HMAC. The comma may be missing,
 * case does not matter, values may be quoted, hashes may be spelt as OpenSSL 3 or hashlib do. Undefined when
 * there is none, or when it is malformed.
 */
export function parseHmacHeader(headers: {
  authentication?: string | string[] | undefined;
  authorization?: string | string[] | undefined;
}): HmacClaim | undefined {
  // Repeated headers are joined with a comma, as Node does it where it does; two claims then have two names
  // and are refused.
  const authentication = toOne(headers.authentication);
  return parseClaim(isHmac.test(authentication) ? authentication : toOne(headers.authorization));
}

const toOne = (header: string | string[] = '') => (Array.isArray(header) ? header.join(', ') : header);

const isHmac = /^\s*hmac(2?)\s/i;

/** Letters of headers that are remembered, as hosts send the same again and again. */
const MOST_LETTERS = 128 * 1024;
const claims = new LRUCache<string, HmacClaim>({
  maxSize: MOST_LETTERS,
  sizeCalculation: (_claim, header) => header.length,
});

function parseClaim(header: string): HmacClaim | undefined {
  const known = claims.get(header);
  if (known) return known;
  const [, version] = isHmac.exec(header) ?? [];
  if (version === undefined) return undefined;
  const fields = header
    .trim()
    .split(/[\s,]+/)
    .slice(1)
    .filter(Boolean)
    .map(parseField);
  // A field that is there twice leaves open which one is meant, so neither counts.
  const only = (name: string) => {
    const [value, ...others] = fields.filter(([field]) => field === name);
    return others.length > 0 ? undefined : value?.[1];
  };
  const [type, hex] = [toHashName(only('name') ?? ''), only('hash') ?? ''];
  if (type === undefined || !/^([0-9a-f]{2})+$/i.test(hex)) return undefined;
  const claim = { hash: type, digest: Buffer.alloc(hex.length / 2, hex, 'hex') }; // no slice of a pool
  if (version === '') claims.set(header, claim);
  if (version === '') return claim;
  const once = parseOnceOnly(only);
  return once && { ...claim, once };
}

function parseField(text: string): [field: string, value: string] {
  const equals = text.indexOf('=');
  const value = text.slice(equals + 1);
  const quoted = value.length > 1 && value.startsWith('"') && value.endsWith('"');
  return [text.slice(0, Math.max(equals, 0)).toLowerCase(), quoted ? value.slice(1, -1) : value];
}

/** Python's hashlib and OpenSSL name these otherwise than Node does. */
const otherNames: Record<string, string> = {
  blake2b: 'blake2b512',
  'blake2b-512': 'blake2b512',
  blake2s: 'blake2s256',
  'blake2s-256': 'blake2s256',
  rmd160: 'ripemd160',
  'ripemd-160': 'ripemd160',
};

/** The hashes that an HMAC may use, by Node's names, with the bytes of the blocks that they work on. */
const blockSizes: Record<string, number> = {
  sha224: 64,
  sha256: 64,
  sha384: 128,
  sha512: 128,
  'sha512-224': 128,
  'sha512-256': 128,
  'sha3-224': 144,
  'sha3-256': 136,
  'sha3-384': 104,
  'sha3-512': 72,
  blake2b512: 128,
  blake2s256: 64,
  sm3: 64,
  ripemd160: 64,
};

/** The hashes that an HMAC may use and that this Node has. */
export const hashNames: readonly string[] = Object.keys(blockSizes).filter(name =>
  getHashes().includes(name),
);

/**
 * Node's name of a hash, whichever way it is spelt: `SHA256`, `sha-256`, OpenSSL 3's `sha2-256`, hashlib's
 * `sha3_256`. Undefined for one that is unknown or not accepted. A client's header and the configuration are
 * both read with this, so that they agree.
 */
export function toHashName(spelling: string): string | undefined {
  if (hashNames.includes(spelling)) return spelling;
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
