import { CONSTRUCTED, CONTEXT_SPECIFIC, type Der, expectTag, readDer, Tag } from './der.ts';

/** The fields of a Certificate (RFC 5280 section 4.1) that Node does not give, or only after long. */
export function decodeCertificate(
  der: Buffer,
): Record<'signature' | 'serial' | 'publicKeyInfo', Der> & { extensions: Der[] } {
  const certificate = expectTag(readDer(der), Tag.sequence);
  if (certificate.end !== der.length) throw new Error('the certificate is damaged');
  const fields = [...expectTag(certificate.parts[0], Tag.sequence).parts];
  if (fields[0]?.tag === (CONTEXT_SPECIFIC | CONSTRUCTED)) fields.shift(); // the version
  const extensions = fields.find(({ tag }) => tag === (CONTEXT_SPECIFIC | CONSTRUCTED | 3));
  return {
    signature: expectTag(certificate.parts[1], Tag.sequence),
    serial: expectTag(fields[0], Tag.integer),
    publicKeyInfo: expectTag(fields[5], Tag.sequence),
    extensions: extensions ? expectTag(extensions.parts[0], Tag.sequence).parts : [],
  };
}
