import { constants, type KeyObject, type VerifyKeyObjectInput } from 'node:crypto';
import { IssuanceError } from '../base/errors.ts';
import {
  CONSTRUCTED,
  CONTEXT_SPECIFIC,
  contentOf,
  type Der,
  expectNoMore,
  expectTag,
  readOid,
  Tag,
} from './der.ts';

// The signatures that are rare in CSRs: RSASSA-PSS, and those by broken hashes.

export type SignatureAlgorithm = {
  /** Node's name of the hash. */
  hash: string;
  /** Why only a CA takes the signature that takes more than the public ones. */
  unusual?: string;
} & Omit<VerifyKeyObjectInput, 'key'>;

/**
 * Old tools still use these broken hashes. The refusal names the hash, so that people know what to change.
 */
const brokenHashes = new Map([
  ['1.2.840.113549.1.1.2', 'MD2'],
  ['1.2.840.113549.1.1.4', 'MD5'],
  ['1.2.840.113549.2.5', 'MD5'],
  ['1.2.840.113549.1.1.5', 'SHA-1'],
  ['1.3.14.3.2.29', 'SHA-1'],
  ['1.2.840.10045.4.1', 'SHA-1'],
  ['1.3.14.3.2.26', 'SHA-1'],
]);

const rsaPss = '1.2.840.113549.1.1.10';

/** Reads any other algorithm than the usual ones, and refuses with `badCsr` all but RSASSA-PSS. */
export function readOtherAlgorithm(
  id: string,
  parameters: Der | undefined,
  key: KeyObject,
): SignatureAlgorithm {
  refuseBrokenHash(id);
  if (id !== rsaPss || key.asymmetricKeyType !== 'rsa')
    return refuse(`signature algorithm ${id} is not supported for this key`);
  const pss = readPss(expectTag(parameters, Tag.sequence));
  refuseBrokenHash(pss.id);
  if (!pss.hash) return refuse("the signature's PSS parameters are not supported");
  return {
    hash: pss.hash,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
    unusual: 'the CSR is signed by RSASSA-PSS; sign it by RSA with SHA-256 (sha256WithRSAEncryption)',
  };
}

function refuseBrokenHash(id: string): void {
  const broken = brokenHashes.get(id);
  if (broken) refuse(`the CSR is signed with ${broken}; use SHA-256`);
}

function refuse(detail: string): never {
  throw new IssuanceError('badCsr', detail);
}
const mgf1 = '1.2.840.113549.1.1.8';
const sha1 = '1.3.14.3.2.26';

/** By OID: Node's name of the hash, and its bytes. */
const hashes = new Map([
  ['2.16.840.1.101.3.4.2.1', { name: 'sha256', length: 32 }],
  ['2.16.840.1.101.3.4.2.2', { name: 'sha384', length: 48 }],
  ['2.16.840.1.101.3.4.2.3', { name: 'sha512', length: 64 }],
]);

/**
 * RSASSA-PSS-params (RFC 4055 section 3.1), whose fields stand behind a tag each or are left away.
 *
 * @returns the OID of the hash; Node's name of it where all else is as that RFC advises: MGF1 with the same
 *   hash, and a salt of its length. Readers take nothing else.
 */
function readPss({ parts }: Der): { id: string; hash: string | undefined } {
  const tags = parts.map(({ tag }) => tag);
  const fields = [0, 1, 2, 3].map(number => CONTEXT_SPECIFIC | CONSTRUCTED | number);
  const [hash, mask, salt, trailer] = fields.map(field => {
    const found = parts.find(({ tag }) => tag === field);
    expectNoMore(found?.parts.slice(1) ?? []);
    return found?.parts[0];
  });
  const { id, isPlain } = hash ? readAlgorithm(hash) : { id: sha1, isPlain: true };
  const inMask = mask?.parts[1] && readAlgorithm(mask.parts[1]);
  const known = hashes.get(id);
  const isUsual =
    isPlain &&
    mask?.parts.length === 2 &&
    readOid(mask.parts[0]) === mgf1 &&
    inMask?.id === id &&
    inMask.isPlain &&
    isNumber(salt, known?.length) &&
    (trailer === undefined || isNumber(trailer, 1)) &&
    tags.join() === fields.filter(tag => tags.includes(tag)).join();
  return { id, hash: isUsual ? known?.name : undefined };
}

/** An AlgorithmIdentifier of a hash, whose parameters are NULL or left away. */
function readAlgorithm(algorithm: Der): { id: string; isPlain: boolean } {
  const [id, parameters, ...more] = expectTag(algorithm, Tag.sequence).parts;
  expectNoMore(more);
  return { id: readOid(id), isPlain: parameters === undefined || parameters.tag === Tag.null };
}

function isNumber(element: Der | undefined, number: number | undefined): boolean {
  const content = element && contentOf(expectTag(element, Tag.integer));
  return content?.length === 1 && content[0] === number;
}
