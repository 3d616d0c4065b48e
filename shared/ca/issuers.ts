import type { X509Certificate } from 'node:crypto';
import type { Store } from '../base/redis.ts';
import { splitChain } from '../pki/certificate.ts';
import { isOfSameOrganisation, isSignedBy, issuerIn } from '../pki/issuer.ts';

/** Who has signed what the accounts got, by the directories of the CAs; the whole fleet knows it. */
export type Issuers = {
  /** Those that this process has noted, each as directory, space, issuer: none is noted with each chain. */
  readonly noted: ReadonlySet<string>;
  /** Notes who signed a chain. @param directory of the CA; '' where that is not recorded */
  note(directory: string, chain: string): Promise<void>;
  /** `undefined` where no issuer is known at all. */
  directoriesOf(certificate: X509Certificate): Promise<DirectoriesOf | undefined>;
};

/** Directories of CAs, '' for one that is not recorded. */
export type DirectoriesOf = {
  /** Those that have signed a certificate. */
  signed: string[];
  /** Those of whose organisation it says to be: CAs sign with one key today, and with another tomorrow. */
  claimed: string[];
};

export function openIssuers({ redis, prefix }: Store): Issuers {
  const key = `${prefix}:issuers`;
  const noted = new Set<string>();
  return {
    noted,
    async note(directory, chain) {
      if (noted.has(`${directory} ${splitChain(chain)[1]}`)) return;
      const member = `${directory} ${issuerIn(chain)}`;
      await redis.sadd(key, member);
      noted.add(member);
    },
    async directoriesOf(certificate) {
      const members = await redis.smembers(key);
      if (members.length === 0) return undefined;
      const whose = (is: typeof isSignedBy) => {
        const found = members.filter(one => matches(is, certificate, one.slice(one.indexOf(' ') + 1)));
        return [...new Set(found.map(member => member.slice(0, member.indexOf(' '))))];
      };
      return { signed: whose(isSignedBy), claimed: whose(isOfSameOrganisation) };
    },
  };
}

/** A damaged member has signed nothing. */
function matches(is: typeof isSignedBy, certificate: X509Certificate, issuer: string): boolean {
  try {
    return is(certificate, issuer);
  } catch {
    return false;
  }
}
