import { cidrCovers } from '../base/identifier.ts';
import type { AuthBlockConfig } from './auth-section.ts';

/**
 * The auth blocks that can never be the first to accept, each with the earlier block that accepts all that it
 * would. Only what is certain is found: two globs count as overlapping when they are equal or the earlier one
 * is `*`.
 */
export function findUnreachable(
  blocks: AuthBlockConfig[],
): { block: AuthBlockConfig; behind: AuthBlockConfig }[] {
  return blocks.flatMap((block, index) => {
    const behind = blocks.slice(0, index).find(earlier => covers(earlier, block));
    return behind && !matchesNothing(block) ? [{ block, behind }] : [];
  });
}

const matchesNothing = ({ domains, addresses, ownNames = [] }: AuthBlockConfig) =>
  domains.length + addresses.length + ownNames.length === 0;

function covers(earlier: AuthBlockConfig, later: AuthBlockConfig): boolean {
  return (
    coversIps(earlier, later) &&
    coversHmac(earlier, later) &&
    coversCertificates(earlier, later) &&
    (!earlier.clientProof || later.clientProof !== undefined) && // which takes ACME clients alone
    !earlier.token && // which takes tokens of its own alone
    coversOwnNames(earlier, later) &&
    later.domains.every(glob => earlier.domains.some(other => coversGlob(other, glob))) &&
    later.addresses.every(cidr => earlier.addresses.some(other => cidrCovers(other, cidr)))
  );
}

function coversIps(earlier: AuthBlockConfig, later: AuthBlockConfig): boolean {
  if (earlier.ips.length === 0) return true;
  return later.ips.length > 0 && later.ips.every(ip => earlier.ips.some(other => cidrCovers(other, ip)));
}

function coversHmac({ hmac: earlier }: AuthBlockConfig, { hmac: later }: AuthBlockConfig): boolean {
  if (!earlier) return true;
  const takesVersions = earlier.version === undefined || later?.version === earlier.version;
  return later?.type === earlier.type && takesVersions && later.keys.every(key => earlier.keys.includes(key));
}

function coversCertificates(
  { clientCerts: earlier }: AuthBlockConfig,
  { clientCerts: later }: AuthBlockConfig,
): boolean {
  if (!earlier) return true;
  return later?.every(glob => earlier.some(other => coversGlob(other, glob))) ?? false;
}

/** What a client has of itself is known to be among what is named only where that is all there is. */
function coversOwnNames(earlier: AuthBlockConfig, { ownNames = [] }: AuthBlockConfig): boolean {
  return ownNames.every(
    type => earlier.ownNames?.includes(type) || (type === 'dns' && earlier.domains.includes('*')),
  );
}

const coversGlob = (other: string, glob: string) =>
  other === '*' || other.toLowerCase() === glob.toLowerCase();
