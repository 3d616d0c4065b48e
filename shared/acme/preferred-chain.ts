import { X509Certificate } from 'node:crypto';
import { splitChain } from '../pki/pem.ts';
import { readLinks } from './links.ts';

const MOST_ALTERNATES = 10;

/** Whether the topmost certificate of a chain was signed by an issuer of this common name. */
export function endsAtIssuer(chain: string, issuer: string): boolean {
  const topmost = splitChain(chain).at(-1);
  if (!topmost) return false;
  const names = new X509Certificate(topmost).issuer.split('\n');
  return names.includes(`CN=${issuer}`);
}

/** The URLs of other chains for the same certificate (RFC 8555 section 7.4.2). */
export function readAlternates(link: string | undefined, base: string): string[] {
  return readLinks(link, 'alternate', base).slice(0, MOST_ALTERNATES);
}
