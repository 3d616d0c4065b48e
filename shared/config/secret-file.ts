import { closeSync, openSync, readSync } from 'node:fs';
import { describeError } from '../base/errors.ts';
import { explainFileError } from '../base/file-error.ts';

const MOST = 64 * 1024;

/** A secret that is read each time it is needed where it is in a file, so that it can be exchanged. */
export type Secret = { text: string } | { file: string };

/** @throws Error in one line where its file cannot be used */
export function readSecret(secret: Secret): string {
  if ('text' in secret) return secret.text;
  try {
    return readSecretFile(secret.file);
  } catch (error) {
    throw new Error(`${secret.file} ${describeError(error)}`);
  }
}

/**
 * The secret in a file, as it would stand behind the `=` of its option: one line, without the line's end.
 *
 * @param lines `any`: what is in it may have several
 * @throws Error with a phrase that says what is wrong with the file, and repeats nothing of it
 */
export function readSecretFile(file: string, lines?: 'any'): string {
  const bytes = readBytes(file);
  if (bytes.length > MOST) throw new Error(`has more than ${MOST / 1024} KB, which is no secret`);
  const text = toText(bytes).trim();
  if (text === '') throw new Error('is empty');
  if (lines !== 'any' && /[\r\n]/.test(text)) throw new Error('has more than one line');
  return text;
}

/** One more than a secret may have, at most: what is named may be anything, such as a device. */
function readBytes(file: string): Buffer {
  const buffer = Buffer.alloc(MOST + 1);
  try {
    const handle = openSync(file, 'r');
    try {
      return buffer.subarray(0, readAll(handle, buffer));
    } finally {
      closeSync(handle);
    }
  } catch (error) {
    throw new Error(`cannot be read: ${explainFileError(error)}`);
  }
}

function readAll(handle: number, buffer: Buffer): number {
  let length = 0;
  while (length < buffer.length) {
    const more = readSync(handle, buffer, length, buffer.length - length, null);
    if (more === 0) break;
    length += more;
  }
  return length;
}

function toText(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Error('is not UTF-8 text');
  }
}
