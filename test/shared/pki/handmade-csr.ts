import { generateKeyPairSync, sign } from 'node:crypto';

// CSRs that openssl will not make: put together from DER by hand, and rightly signed.

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

/** One DER element; contents of less than 64 KiB. */
export function der(tag: number, ...contents: Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const long =
    content.length > 255 ? [0x82, content.length >> 8, content.length & 0xff] : [0x81, content.length];
  return Buffer.concat([Buffer.from([tag, ...(content.length < 128 ? [content.length] : long)]), content]);
}

export const oid = {
  commonName: der(0x06, Buffer.from('550403', 'hex')),
  subjectAltName: der(0x06, Buffer.from('551d11', 'hex')),
  extensionRequest: der(0x06, Buffer.from('2a864886f70d01090e', 'hex')),
  microsoftExtensions: der(0x06, Buffer.from('2b06010401823702010e', 'hex')),
  ecdsaWithSha256: der(0x06, Buffer.from('2a8648ce3d040302', 'hex')),
};

/** A SubjectAltName extension with the given DNS names. */
export function alternativeNames(...names: string[]): Buffer {
  const value = der(0x30, ...names.map(name => der(0x82, Buffer.from(name))));
  return der(0x30, oid.subjectAltName, der(0x04, value));
}

/** An attribute that asks for `extensions`. */
export function extensionAttribute(type: Buffer, ...extensions: Buffer[]): Buffer {
  return der(0x30, type, der(0x31, der(0x30, ...extensions)));
}

/** A CSR that is rightly signed, whatever its `info` holds. */
export function signedCsr(info: Buffer): Buffer {
  const signature = Buffer.concat([Buffer.from([0]), sign('sha256', info, privateKey)]);
  return der(0x30, info, der(0x30, oid.ecdsaWithSha256), der(0x03, signature));
}

/**
 * A signed CSR; `common` is the CN's value with its tag, `more` comes after the attributes; `attributes:
 * false` leaves their element away. The key of this file signs it, whatever `key` (SubjectPublicKeyInfo) it
 * holds.
 */
export function handmadeCsr({
  version = 0,
  common,
  subject = common ? der(0x30, der(0x31, der(0x30, oid.commonName, common))) : der(0x30),
  key = publicKey.export({ type: 'spki', format: 'der' }),
  attributes = [],
  more = [],
}: HandmadeOptions): Buffer {
  const last = attributes ? [der(0xa0, ...attributes)] : [];
  return signedCsr(der(0x30, der(0x02, Buffer.from([version])), subject, key, ...last, ...more));
}

type HandmadeOptions = {
  version?: number;
  common?: Buffer;
  subject?: Buffer;
  key?: Buffer;
  attributes?: Buffer[] | false;
  more?: Buffer[];
};
