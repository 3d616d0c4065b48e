import { type ChainLink, permits, readLink } from './chain-link.ts';

/** Id-kp-serverAuth, id-kp-clientAuth and anyExtendedKeyUsage (RFC 5280 section 4.2.1.12). */
const tlsPurposes = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2', '2.5.29.37.0'];

/** CAs that stand between the leaf and the trusted one. */
const MOST_BETWEEN = 6;
/** Of all links that are tried; each costs a signature. */
const MOST_TRIED = 30;

/** What a leaf's chain leads to. */
type VerifiedChain = { leaf: ChainLink } | { fault: string };

/**
 * Verifies chains (RFC 5280 section 6.1) up to certificates that are trusted, which need not be self-signed.
 * OpenSSL would refuse a certificate that is for servers alone, such as public CAs issue from 2026 on, and by
 * its answer it cannot be known what else is wrong with the chain. A certificate for a TLS server proves the
 * same names, so it is taken: of purposes, where any are given, one has to be of TLS.
 *
 * @param trusted DER
 * @throws Error when one of them is no certificate
 */
export function openChainVerifier(
  trusted: readonly Buffer[],
): (chain: readonly Buffer[], now: number) => VerifiedChain {
  const anchors = trusted.map(readLink);
  return (chain, now) => {
    const links = readLinks(chain);
    const [leaf, ...between] = links ?? [];
    if (!leaf) return { fault: 'is damaged' };
    const search = { between, anchors, now, left: MOST_TRIED };
    const fault = findFault(leaf, now) ?? leaf.fault ?? findPath([leaf], search);
    return fault === undefined ? { leaf } : { fault };
  };
}

function readLinks(chain: readonly Buffer[]): ChainLink[] | undefined {
  try {
    return chain.slice(0, MOST_BETWEEN + 2).map(readLink);
  } catch {
    return undefined;
  }
}

/** Why a link counts for nothing now, in words to follow its name. */
function findFault({ notBefore, notAfter, purposes }: ChainLink, now: number): string | undefined {
  if (now > notAfter) return `expired at ${new Date(notAfter).toISOString()}`;
  if (now < notBefore) return `is not valid before ${new Date(notBefore).toISOString()}`;
  if (purposes && !purposes.some(purpose => tlsPurposes.includes(purpose))) return 'is not for TLS';
  return undefined;
}

type Search = {
  between: readonly ChainLink[];
  anchors: readonly ChainLink[];
  /** Milliseconds since the epoch. */
  now: number;
  /** How many links may still be tried. */
  left: number;
};

/** @param path from the leaf up @returns why it leads to no trusted certificate, to follow the leaf's name */
function findPath(path: ChainLink[], search: Search): string | undefined {
  const [leaf] = path as [ChainLink];
  const isTrusted = search.anchors.some(({ x509 }) => x509.raw.equals(leaf.x509.raw));
  if (isTrusted) return undefined;
  let why = 'is of no CA that is trusted here';
  for (const issuer of [...search.anchors, ...search.between]) {
    if (path.includes(issuer) || search.left <= 0 || !hasIssued(issuer, path, search)) continue;
    const isAnchor = search.anchors.includes(issuer);
    const fault = findFaultAbove(issuer, path, search.now) ?? (isAnchor ? undefined : issuer.fault);
    if (fault !== undefined) why = `comes from a CA whose certificate ${fault}`;
    else if (isAnchor) return undefined;
    else if (path.length <= MOST_BETWEEN) {
      const further = findPath([...path, issuer], search);
      if (further === undefined) return undefined;
      why = further;
    }
  }
  return why;
}

function hasIssued(issuer: ChainLink, path: ChainLink[], search: Search): boolean {
  const issued = path.at(-1) as ChainLink;
  if (!issuer.isCa || !issued.x509.checkIssued(issuer.x509)) return false;
  search.left--;
  return issued.x509.verify(issuer.x509.publicKey);
}

function findFaultAbove(issuer: ChainLink, path: ChainLink[], now: number): string | undefined {
  const fault = findFault(issuer, now);
  if (fault !== undefined) return fault;
  const between = path.slice(1).filter(({ x509 }) => x509.subject !== x509.issuer);
  if (between.length > issuer.pathLength) return 'allows no CA below it';
  return permits(issuer.constraints, (path[0] as ChainLink).identifiers)
    ? undefined
    : 'does not allow these names';
}
