import { createHash } from 'node:crypto';
import * as asn1js from 'asn1js';
import { CertificationRequest } from 'pkijs';
import { IssuanceError } from '../base/errors.ts';
import { readRequestedExtensions, refuseCertificateAuthority } from './csr-extensions.ts';
import { collectIdentifiers } from './csr-names.ts';
import { readPublicKey, verifySelfSignature } from './csr-signature.ts';
import type { Identifier } from './identifier.ts';
import { decodePemBlocks, encodePem } from './pem.ts';

export type CsrText = {
  der: Buffer;
  /** As openssl prints it, whatever line ends and text the client put around it. */
  pem: string;
  /** SHA-384 of `pem`, hex: one key for all spellings of a CSR. */
  digest: string;
  /** SHA-384 of the body as posted, hex: macen's key into its storage. */
  postedDigest: string;
};

export type ParsedCsr = {
  /** At least one, at most 100, without duplicates: the CN's first, then the SANs in their order. */
  identifiers: Identifier[];
  /** The SubjectPublicKeyInfo, DER. */
  publicKey: Buffer;
};

/** Finds the one PEM CSR in a posted body. Cheap: nothing of the CSR itself is looked at. Throws `badCsr`. */
export function readCsr(body: Buffer): CsrText {
  const der = findOnlyCsr(body.toString());
  const pem = encodePem('CERTIFICATE REQUEST', der);
  return { der, pem, digest: sha384(pem), postedDigest: sha384(body) };
}

/**
 * Reads a PKCS#10 request (RFC 2986) into what is to be ordered, and refuses with `badCsr` and one line whatever a CA
 * would refuse. Nothing later reads names from the CSR again.
 */
export async function parseCsr(der: Buffer): Promise<ParsedCsr> {
  try {
    const { request, publicKeyDer } = decodeRequest(der);
    const publicKey = readPublicKey(request, publicKeyDer);
    const extensions = readRequestedExtensions(request);
    refuseCertificateAuthority(extensions);
    const identifiers = collectIdentifiers(request.subject, extensions);
    await verifySelfSignature(request, publicKey);
    return { identifiers, publicKey: publicKeyDer };
  } catch (error) {
    if (error instanceof IssuanceError) throw error;
    // Whatever pkijs or OpenSSL trips over was in the client's bytes.
    throw new IssuanceError('badCsr', 'the CSR cannot be parsed', { cause: error });
  }
}

function findOnlyCsr(text: string): Buffer {
  try {
    const [first, ...more] = decodePemBlocks(text, ['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST']);
    if (first && more.length === 0) return first.der;
    throw new Error(first ? 'the body holds more than one CSR' : 'the body holds no PEM certificate request');
  } catch (error) {
    throw new IssuanceError('badCsr', (error as Error).message, { cause: error });
  }
}

function decodeRequest(der: Buffer): { request: CertificationRequest; publicKeyDer: Buffer } {
  const { offset, result } = asn1js.fromBER(der, { parseEmbedded: false, maxDepth: 20 });
  if (offset === -1) throw new Error(result.error);
  if (offset !== der.length) throw new IssuanceError('badCsr', 'the CSR is followed by other bytes');
  const [info, , , ...more] = childrenOf(result);
  const [, , publicKey, attributes, ...rest] = childrenOf(info);
  const request = new CertificationRequest({ schema: result });
  // pkijs passes over what its schema does not expect. A name must not hide there.
  const known = request.attributes?.length ?? 0;
  if (more.length || rest.length || known !== childrenOf(attributes).length)
    throw new Error('unexpected elements');
  return { request, publicKeyDer: Buffer.from(publicKey?.valueBeforeDecodeView ?? []) };
}

function childrenOf(block: asn1js.BaseBlock | undefined): asn1js.BaseBlock[] {
  return block instanceof asn1js.Constructed ? block.valueBlock.value : [];
}

function sha384(data: string | Buffer): string {
  return createHash('sha384').update(data).digest('hex');
}
