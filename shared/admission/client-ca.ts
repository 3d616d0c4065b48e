import { hash } from 'node:crypto';
import type { Identifier } from '../base/identifier.ts';
import { decodePemBlocks } from '../pki/certificate.ts';
import { certificateKeyDigest } from '../pki/public-key.ts';
import { openChainVerifier } from '../pki/verify-chain.ts';

/** A certificate that a client has shown, with a chain to a trusted CA; who showed it has its key. */
type ClientCertificate = {
  /** Its DNS and IP SANs; the CN does not count. */
  identifiers: Identifier[];
  /** SHA-256 of its DER, in hex. */
  fingerprint: string;
  /** Its key's `keyDigest`. */
  publicKey: string;
  /** DER. */
  der: Buffer;
};

/** What a request shows: a certificate, or one that does not count, and why, in words to follow its name. */
export type ShownCertificate = ClientCertificate | { fault: string };

/** The CAs whose certificates clients may show. */
export type ClientCa = {
  /** @param chain DER, leaf first @param now milliseconds since the epoch */
  verify(chain: readonly Buffer[], now: number): ShownCertificate;
};

/**
 * @param text PEM of CAs; a certificate that is no CA is trusted for itself alone
 * @throws Error in one line when there is none in it, or a damaged one
 */
export function openClientCa(text: string): ClientCa {
  const trusted = decodePemBlocks(text, ['CERTIFICATE']).map(({ der }) => der);
  if (trusted.length === 0) throw new Error('it holds no certificate in PEM');
  const verifyChain = openChainVerifier(trusted);
  return {
    verify(chain, now) {
      const found = verifyChain(chain, now);
      if ('fault' in found) return found;
      const { x509, identifiers } = found.leaf;
      const der = x509.raw;
      const publicKey = certificateKeyDigest(found.leaf);
      return { identifiers, fingerprint: hash('sha256', der), publicKey, der };
    },
  };
}

const [BEGIN, END] = ['-----BEGIN CERTIFICATE-----', '-----END CERTIFICATE-----'];

/**
 * Reads the X-SSL-Client-Cert of a proxy: PEM with percent escapes (nginx), or with spaces or tabs for its
 * line ends, one certificate or a chain; or the base64 of DER (Caddy, HAProxy).
 *
 * @returns DER, leaf first; undefined where it is none of these
 */
export function readForwardedCertificate(header: string): Buffer[] | undefined {
  try {
    const text = header.includes('%') ? decodeURIComponent(header) : header;
    const [before = '', ...blocks] = text.split(BEGIN);
    if (blocks.length === 0) return [decodeBase64(before)];
    return before.trim() === '' ? blocks.map(decodeBlock) : undefined;
  } catch {
    return undefined;
  }
}

/** @param text what follows the line that begins it */
function decodeBlock(text: string): Buffer {
  const [base64 = '', after = END] = text.split(END);
  if (after.trim() !== '') throw new Error('it does not end where it should');
  return decodeBase64(base64);
}

function decodeBase64(text: string): Buffer {
  const base64 = text.replace(/\s/g, '');
  const der = Buffer.from(base64, 'base64');
  if (der.length === 0 || der.toString('base64') !== base64) throw new Error('it is not base64');
  return der;
}

/** Names it for people, and in the trail. */
export function describeCertificate({ identifiers, fingerprint }: ClientCertificate): string {
  const name = identifiers.find(({ type }) => type === 'dns') ?? identifiers[0];
  return `client certificate ${name ? `${name.value} ` : ''}${fingerprint.slice(0, 16)}`;
}

/** As `describeCertificate`; of one that does not count, why. */
export function describeShown(shown: ShownCertificate): string {
  return 'fault' in shown ? `client certificate ${shown.fault}` : describeCertificate(shown);
}
