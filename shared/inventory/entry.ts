import { hash } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { damagedValue } from '../base/errors.ts';
import { isNumber, isText, listOf, oneOf, optional, parseValue, shapeOf } from '../base/redis.ts';
import { type Certificate, readCertificate } from '../pki/certificate.ts';
import type { Indexed } from './lines.ts';

/**
 * How Quarry came to a certificate: a client's post ordered it, a renewal that no client waited for, a shaman
 * profile, or it was in a storage when the inventory began.
 */
export type Origin = 'post' | 'ahead' | 'shaman' | 'found';

/** What the certificate itself does not say. */
type Kept = { how: Origin; block?: string | undefined; account?: string | undefined };

/** What a list says of a certificate. Times in milliseconds since the epoch. */
export type InventoryFacts = Kept &
  Indexed & {
    /** SHA-256 of the certificate, in hex. */
    fingerprint: string;
    notBefore: number;
  };

/** All that the inventory knows, read out of the certificate itself. */
export type InventoryEntry = InventoryFacts & {
  /** DER. */
  leaf: Buffer;
  /** As `readCertificate` gives it. */
  issuer: string;
};

const ORIGINS: readonly Origin[] = ['post', 'ahead', 'shaman', 'found'];
/** Longer than any leaf of a hundred names. */
const LONGEST_LEAF = 64 * 1024;
const END_OF_HEAD = 0x0a;
/** Room for a leaf and its sample: to set up the usual 256 KB for each takes zlib longer. */
const DEFLATING = { level: 9, windowBits: 13, memLevel: 4, chunkSize: 1024 };

/** As it is written: what the certificate says stands beside it, as to read that out of it takes long. */
type Written = Kept & Pick<InventoryFacts, 'names' | 'serial' | 'fingerprint' | 'notBefore' | 'notAfter'>;

const isWritten = shapeOf<Written>({
  ...{ how: oneOf(...ORIGINS), block: optional(isText), account: optional(isText) },
  ...{ names: listOf(isText), serial: isText, fingerprint: isText, notBefore: isNumber, notAfter: isNumber },
});

/** A leaf of an issuer, against which its others are deflated. Its name says which leaf it is. */
export type Sample = { name: string; leaf: Buffer };

const SHORT = 12;

export const toSample = (leaf: Buffer): Sample => ({ name: shortHash(leaf), leaf });

/** In so few characters that it is nothing to be relied on against who makes them equal. */
export const shortHash = (what: string | Buffer) => hash('sha256', what, 'base64url').slice(0, SHORT);

/** The sample that a value needs. */
export const sampleOf = (value: Buffer) => value.toString('latin1', 0, SHORT);

/** Part of the fingerprint, in 16 characters: as ids are kept several times, they are to be short. */
export const idOf = (fingerprint: string) => Buffer.from(fingerprint, 'hex').toString('base64url', 0, 12);

/**
 * @param leaf DER. Throws an Error when it is damaged
 * @param said what it says, where the caller has read it
 */
export function toEntry(leaf: Buffer, kept: Kept, said: Certificate = readCertificate(leaf)): InventoryEntry {
  const { identifiers, serial, issuer, notBefore, notAfter } = said;
  const fingerprint = hash('sha256', leaf);
  const names = identifiers.map(({ value }) => value);
  return {
    ...kept,
    ...{ id: idOf(fingerprint), leaf, fingerprint, names, issuer, notBefore, notAfter },
    serial: serial.toLowerCase(),
  };
}

/**
 * Most of a leaf is in every other leaf of its issuer, so it is deflated against one of them: half of it
 * stays. A value is the sample's name, JSON, a line's end, and the deflated leaf.
 */
export function formatEntry(entry: InventoryEntry, sample: Sample): Buffer {
  const { how, block, account, names, serial, fingerprint, notBefore, notAfter } = entry;
  const kept: Kept = { how, block, account }; // JSON leaves out what is undefined
  const print = Buffer.from(fingerprint, 'hex').toString('base64url');
  const written: Written = { ...kept, names, serial, fingerprint: print, notBefore, notAfter };
  const head = Buffer.from(`${sample.name}${JSON.stringify(written)}\n`);
  return Buffer.concat([head, deflateRawSync(entry.leaf, { ...DEFLATING, dictionary: sample.leaf })]);
}

/** Where a value lies, and the certificate's id. */
export type Place = { key: string; id: string };

const headEnd = (value: Buffer) => Math.max(SHORT, value.indexOf(END_OF_HEAD));

/**
 * What is written beside the certificate, which nobody has compared with it.
 *
 * @param at where the value lies
 * @throws IssuanceError `misconfigured` where it is damaged, or of another id
 */
export function parseFacts(at: Place, value: Buffer): InventoryFacts {
  const written = parseValue(at.key, value.toString('utf8', SHORT, headEnd(value)), isWritten);
  const fingerprint = Buffer.from(written.fingerprint, 'base64url').toString('hex');
  if (idOf(fingerprint) !== at.id || Number.isNaN(new Date(written.notAfter + written.notBefore).getTime()))
    throw damagedValue(at.key);
  return { ...written, fingerprint, id: at.id };
}

/**
 * The certificate itself, and what it says.
 *
 * @param sample the leaf that `sampleOf` names
 * @throws IssuanceError as `parseFacts`
 */
export function parseEntry(at: Place, value: Buffer, sample: Buffer): InventoryEntry {
  const { how, block, account } = parseFacts(at, value);
  try {
    const options = { dictionary: sample, maxOutputLength: LONGEST_LEAF };
    const leaf = inflateRawSync(value.subarray(headEnd(value) + 1), options);
    const kept = { how, ...(block !== undefined && { block }), ...(account !== undefined && { account }) };
    const entry = toEntry(leaf, kept);
    if (entry.id === at.id) return entry;
  } catch {
    // what zlib or OpenSSL says of it helps nobody
  }
  throw damagedValue(at.key);
}
