import { der } from './handmade-csr.ts';

/** The same key as another writer has it: without the NULL of RSA, or with a compressed point. */
export function rewritten(publicKeyInfo: Buffer): Buffer {
  const rsa = Buffer.from('06092a864886f70d010101', 'hex');
  const at = publicKeyInfo.indexOf(rsa);
  if (at >= 0) return der(0x30, der(0x30, rsa), publicKeyInfo.subarray(at + rsa.length + 2));
  const [x, y] = [publicKeyInfo.subarray(-64, -32), publicKeyInfo.subarray(-32)];
  const sign = Buffer.from([0, (y.at(-1) ?? 0) % 2 === 0 ? 2 : 3]);
  const algorithm = Buffer.from('06072a8648ce3d020106082a8648ce3d030107', 'hex');
  return der(0x30, der(0x30, algorithm), der(0x03, sign, x));
}
