import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { explainFileError } from '../base/file-error.ts';
import type { Fail, Parse } from './section-reader.ts';

// How single values are written, whatever option they belong to.

export const parseText: Parse<string> = (text, fail) => text || fail('is empty');

/** `dns, http`: each of them as `parse` reads one. */
export function parseList<T>(parse: Parse<T>): Parse<T[]> {
  return (text, fail) => text.split(',').map(one => parse(one.trim(), fail));
}

/** An empty value is false, as macen reads it. */
export const parseFlag: Parse<boolean> = (text, fail) => toFlag(text) ?? fail('is neither yes nor no');

export function toFlag(text: string): boolean | undefined {
  const word = text.toLowerCase();
  if (['yes', 'true', 'on', '1'].includes(word)) return true;
  if (['no', 'false', 'off', '0', ''].includes(word)) return false;
  return undefined;
}

/** A whole number from `least` to `most`, both included. */
export function wholeNumber(least: number, most: number): Parse<number> {
  return (text, fail) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    return value >= least && value <= most ? value : fail(`is not a whole number from ${least} to ${most}`);
  };
}

/** As pydantic reads a size for macen: without an i in it a unit is decimal. */
const factors = new Map([
  ...['', 'b'].map(unit => [unit, 1] as const),
  ...['k', 'kb'].map(unit => [unit, 1000] as const),
  ...['m', 'mb'].map(unit => [unit, 1000 ** 2] as const),
  ['kib', 1024] as const,
  ['mib', 1024 ** 2] as const,
]);

/** Bytes, as `4096`, `4k` (4000) or `4KiB` (4096); `most` is the largest size accepted. */
export function byteSize(most: number): Parse<number> {
  return (text, fail) => {
    const [, digits, unit = ''] = /^(\d{0,12}\.?\d{1,12})\s*([a-z]*)$/i.exec(text) ?? [];
    const factor = factors.get(unit.toLowerCase());
    if (digits === undefined || factor === undefined) return fail('is not a size such as 4096, 4k or 4KiB');
    const bytes = Math.floor(Number(digits) * factor);
    return bytes >= 1 && bytes <= most ? bytes : fail(`is not between 1 and ${most} bytes`);
  };
}

/** The path of a file that can be read now, so that a wrong path shows before the service starts. */
export const parseReadableFile: Parse<string> = (text, fail) => {
  readNow(text, fail);
  return text;
};

/** The path of a PEM file with certificates. Of authorities, TLS would take a file without any in silence. */
export const parseCertificateFile: Parse<string> = (text, fail) => {
  const form = /-----BEGIN ((?:TRUSTED |X509 )?CERTIFICATE)-----[^-]+-----END \1-----/g;
  const blocks = readNow(text, fail).toString('latin1').match(form) ?? [];
  return blocks.some(isCertificate) ? text : fail(`${text} holds no certificate in PEM`);
};

function readNow(path: string, fail: Fail): Buffer {
  if (path === '') return fail('is empty');
  try {
    return readFileSync(path);
  } catch (error) {
    return fail(`${path} cannot be read: ${explainFileError(error)}`);
  }
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}
