import { createPublicKey, verify } from 'node:crypto';
import { Tag } from '../pki/der.ts';

// ECDSA signatures of a JWS (RFC 7518 section 3.4). Most accounts have such a key, and each request bears a
// signature: a plain key and a signature in DER take half of the CPU time that jose's way by WebCrypto takes.

export type EcJwk = { kty: 'EC'; crv: 'P-256' | 'P-384' | 'P-521'; x: string; y: string };

/** The hash, and the bytes of each of a signature's two numbers. */
const curves: Record<EcJwk['crv'], { hash: string; size: number }> = {
  'P-256': { hash: 'sha256', size: 32 },
  'P-384': { hash: 'sha384', size: 48 },
  'P-521': { hash: 'sha512', size: 66 },
};

/**
 * @returns says whether a signature, of two numbers side by side, is that of a message
 * @throws Error where the key is no point of its curve
 */
export function openEcdsa(jwk: EcJwk): (message: string, signature: Buffer) => boolean {
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  const { hash, size } = curves[jwk.crv];
  return (message, signature) =>
    signature.length === 2 * size && verify(hash, Buffer.from(message), key, toDer(signature, size));
}

/** RFC 3279 section 2.2.3. */
function toDer(signature: Buffer, size: number): Buffer {
  const numbers = [signature.subarray(0, size), signature.subarray(size)].map(toInteger);
  return toElement(Tag.sequence, Buffer.concat(numbers));
}

/** Without needless zeros in front, but for one where the number would else be negative. */
function toInteger(number: Buffer): Buffer {
  const first = number.findIndex(byte => byte !== 0);
  const bytes = number.subarray(first < 0 ? -1 : first);
  const isNegative = (bytes[0] ?? 0) > 0x7f;
  return toElement(Tag.integer, isNegative ? Buffer.concat([Buffer.alloc(1), bytes]) : bytes);
}

const toElement = (tag: number, content: Buffer) =>
  Buffer.concat([
    Buffer.from(content.length > 0x7f ? [tag, 0x81, content.length] : [tag, content.length]),
    content,
  ]);
