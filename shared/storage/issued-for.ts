import { parse } from 'tldts';
import type { IssuedBy, StoredCertificate } from './storage.ts';

/**
 * Whether a stored certificate is as good as one that would be ordered now: it is of an account that would be
 * ordered from. An account whose name alone was changed is the same. macen did not record who issued
 * its certificates, so they are as good as any, but for those of test CAs, which stay from a time before the
 * production CA was configured.
 *
 * @param accounts those that would be ordered from
 * @param all the accounts that are configured
 */
export function isIssuedFor(
  { issuedBy, leaf }: Pick<StoredCertificate, 'issuedBy' | 'leaf'>,
  accounts: readonly IssuedBy[],
  all: readonly IssuedBy[],
): boolean {
  if (!issuedBy) return !isOfTestCa(leaf.issuer) || accounts.some(({ directory }) => isTestCa(directory));
  const renamed = !all.some(one => isSame(one, issuedBy));
  return accounts.some(one => isSame(one, issuedBy) || (renamed && one.directory === issuedBy.directory));
}

/** An account of the configuration, as certificates name it. */
export const toIssuedBy = ({ name, acmeServer }: { name: string; acmeServer: string }): IssuedBy => ({
  account: name,
  directory: acmeServer,
});

const isSame = (one: IssuedBy, other: IssuedBy) =>
  one.account === other.account && one.directory === other.directory;

/**
 * How the issuers of Let's Encrypt's staging environment, of Pebble and of a Boulder for tests are called.
 */
const testIssuer =
  /^(CN|O)=(\(STAGING\) |Fake LE |Pebble (Intermediate|Root) CA |(h2ppy h2cker|happy hacker) fake CA)/m;

/** @param issuer a line for each attribute */
const isOfTestCa = (issuer: string) => testIssuer.test(issuer);

/**
 * A CA whose certificates no browser trusts: one that says so, or that only an internal network can reach.
 */
function isTestCa(directory: string): boolean {
  const hostname = URL.parse(directory)?.hostname ?? '';
  const { isIp, isIcann } = parse(hostname);
  return isIp === true || isIcann !== true || /(^|[.-])(staging|test\d*|sandbox)([.-]|$)/.test(hostname);
}
