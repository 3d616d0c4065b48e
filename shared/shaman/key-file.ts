import type { KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createAtomically, readIfThere } from '../base/atomic-file.ts';
import { describeError, IssuanceError } from '../base/errors.ts';
import { describeKeyType, generateKeyPem, type KeyType, readPrivateKey } from '../pki/key.ts';

export type ReadyKey = { pem: string; key: KeyObject; made: boolean };

/** @throws IssuanceError `misconfigured` where the file holds no usable key */
export async function readKeyFile(path: string): Promise<ReadyKey> {
  try {
    const pem = await readFile(path, 'utf8');
    return { pem, key: readPrivateKey(pem), made: false };
  } catch (error) {
    throw new IssuanceError('misconfigured', `${path} holds no usable private key: ${describeError(error)}`);
  }
}

/**
 * Makes a key where there is none. A file that is there already is not written over, as somebody may use it: a run that
 * was stopped before it could note the file's name has left it.
 *
 * @throws IssuanceError `misconfigured` where the file holds no usable key, or one of another type
 */
export async function makeKeyFile(path: string, type: KeyType): Promise<ReadyKey> {
  const made =
    (await readIfThere(path)) === undefined &&
    (await createAtomically(path, await generateKeyPem(type), 0o600));
  const ready = await readKeyFile(path);
  const found = describeKeyType(ready.key);
  if (found === type) return { ...ready, made };
  throw new IssuanceError(
    'misconfigured',
    `${path} is there already and holds another key (${found}): move it away`,
  );
}
