import type { Identifier } from '../base/identifier.ts';
import { describeCertificate } from './client-ca.ts';
import type { AdmissionMethod, AdmissionRequest } from './methods.ts';

export type IsRevoked = (fingerprint: string) => Promise<boolean>;

/**
 * `client-cert = …`: clients that show a certificate of which one DNS name matches.
 *
 * @param globs as `domain` has them
 * @param ownTypes of the names of the certificate that the client may have
 * @param isRevoked whether one of this fingerprint was revoked
 */
export function clientCertificateMethod(
  globs: readonly ((name: string) => boolean)[],
  ownTypes: readonly Identifier['type'][],
  isRevoked: IsRevoked,
): AdmissionMethod {
  const find = ({ certificate }: AdmissionRequest) => {
    if (!certificate || 'fault' in certificate) return undefined;
    const matches = ({ type, value }: Identifier) => type === 'dns' && globs.some(glob => glob(value));
    return certificate.identifiers.some(matches) ? certificate : undefined;
  };
  return {
    possible: request => find(request) !== undefined,
    async holds(request) {
      const certificate = find(request);
      if (!certificate) return undefined;
      if (await isRevoked(certificate.fingerprint)) return { refused: 'the client certificate was revoked' };
      const own = certificate.identifiers.filter(({ type }) => ownTypes.includes(type));
      const by = describeCertificate(certificate);
      return own.length > 0 ? { by, clientNames: own.map(({ value }) => value) } : { by };
    },
  };
}

type NamedBlock = { ownNames?: Identifier['type'][]; mayHave(identifier: Identifier): boolean };

/** The block for a client that has these names of itself, each as it stands in an identifier. */
export function withClientNames<Block extends NamedBlock>(
  block: Block,
  clientNames: readonly string[],
): Block {
  const { ownNames = [] } = block;
  const isOwn = ({ type, value }: Identifier) => ownNames.includes(type) && clientNames.includes(value);
  return { ...block, mayHave: identifier => block.mayHave(identifier) || isOwn(identifier) };
}
