import { hash } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { damagedValue } from '../base/basics.ts';
import { isText, oneOf, optional, parseValue, shapeOf } from '../base/redis.ts';
import { readCertificate } from '../pki/certificate.ts';
import type { Indexed } from './lines.ts';

/**
 * How Quarry came to a certificate: a client's post ordered it, a renewal that no client waited for, a shaman
 * profile, or it was in a storage when the inventory began.
 */
export type Origin = 'post' | 'ahead' | 'shaman' | 'found';

/** What is kept of a certificate for good; all else is in the certificate. */
type Kept = { how: Origin; block?: string | undefined; account?: string | undefined };

/** A certificate as the inventory knows it. Times in milliseconds since the epoch. */
export type InventoryEntry = Kept &
  Indexed & {
    /** DER. */
    leaf: Buffer;
    /** SHA-256 of the certificate, in hex. */
    fingerprint: string;
    /** As `readCertificate` gives it. */
    issuer: string;
    notBefore: number;
  };

const ORIGINS: readonly Origin[] = ['post', 'ahead', 'shaman', 'found'];
/** Longer than any leaf of a hundred names. */
const LONGEST_LEAF = 64 * 1024;
const END_OF_HEAD = 0x0a;

const isKept = shapeOf<Kept>({ how: oneOf(...ORIGINS), block: optional(isText), account: optional(isText) });

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

/** @param leaf DER. Throws an Error when it is damaged */
export function toEntry(leaf: Buffer, kept: Kept): InventoryEntry {
  const { identifiers, serial, issuer, notBefore, notAfter } = readCertificate(leaf);
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
export function formatEntry({ how, block, account, leaf }: InventoryEntry, sample: Sample): Buffer {
  const kept: Kept = { how, block, account }; // JSON leaves out what is undefined
  const head = Buffer.from(`${sample.name}${JSON.stringify(kept)}\n`);
  return Buffer.concat([head, deflateRawSync(leaf, { level: 9, dictionary: sample.leaf })]);
}

/**
 * @param at where the value lies
 * @param sample the leaf that `sampleOf` names
 * @throws IssuanceError `misconfigured` where it is damaged, or not of the certificate of that id
 */
export function parseEntry(at: { key: string; id: string }, value: Buffer, sample: Buffer): InventoryEntry {
  const end = Math.max(SHORT, value.indexOf(END_OF_HEAD));
  const kept = parseValue(at.key, value.toString('utf8', SHORT, end), isKept);
  try {
    const options = { dictionary: sample, maxOutputLength: LONGEST_LEAF };
    const entry = toEntry(inflateRawSync(value.subarray(end + 1), options), kept);
    if (entry.id === at.id) return entry;
  } catch {
    // what zlib or OpenSSL says of it helps nobody
  }
  throw damagedValue(at.key);
}
