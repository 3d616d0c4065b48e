import type { AuthBlockConfig } from '../admission/auth-section.ts';
import type { SectionReader } from '../config/section-reader.ts';

/** Bytes; lego 5 and dehydrated refuse shorter ones, as RFC 7518 section 3.2 has it of HS256. */
const SHORTEST = 32;

/** Warns of the keys of a block that some ACME clients would not take for an external account binding. */
export function warnOfShortKeys(section: SectionReader, { hmac }: Pick<AuthBlockConfig, 'hmac'>): void {
  const shortest = Math.min(...(hmac?.keys ?? []).map(key => Buffer.byteLength(key)));
  if (shortest >= SHORTEST) return;
  section.warn(
    `has ${shortest} bytes, and some ACME clients (lego, dehydrated) take no key of less than ${SHORTEST}: ` +
      'make one with openssl rand -base64 32',
    'hmac_key',
  );
}
