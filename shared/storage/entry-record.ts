import { hash } from 'node:crypto';
import { decodePem } from '../pki/certificate.ts';
import type { IssuedBy } from './storage.ts';

/** What Quarry keeps of a stored certificate beside it. */
export type EntryRecord = {
  /** The `fingerprintOf` the certificate that this is about. */
  certificate: string;
  /** Absent where it is not recorded, as of macen's entries. */
  issuedBy?: IssuedBy | undefined;
  /** From when on the certificate is not handed out any more, in milliseconds since the epoch. */
  renewFrom?: number | undefined;
};

/** @returns SHA-256 of the first certificate in `chain`, in hex. Throws an Error when it is damaged. */
export const fingerprintOf = (chain: string): string => fingerprintOfDer(decodePem(chain, ['CERTIFICATE']));

export const fingerprintOfDer = (certificate: Buffer): string => hash('sha256', certificate);

/** As it is written, with times that people can read. */
export function formatRecord({ certificate, issuedBy, renewFrom }: EntryRecord): Record<string, unknown> {
  const time = renewFrom === undefined ? {} : { renewFrom: new Date(renewFrom).toISOString() };
  return { certificate, ...issuedBy, ...time };
}

/**
 * Reads the record of a certificate. What is damaged, or about another certificate, counts as absent: then
 * the entry is as good as one of macen's.
 *
 * @param value as JSON has it
 * @param certificate the `fingerprintOf` it
 */
export function parseRecord(value: unknown, certificate: string): EntryRecord | undefined {
  const record = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  if (record.certificate !== certificate) return undefined;
  const { account, directory } = record;
  const renewFrom = typeof record.renewFrom === 'string' ? Date.parse(record.renewFrom) : Number.NaN;
  const known = typeof account === 'string' && typeof directory === 'string';
  return {
    certificate,
    ...(known && { issuedBy: { account, directory } }),
    ...(!Number.isNaN(renewFrom) && { renewFrom }),
  };
}
