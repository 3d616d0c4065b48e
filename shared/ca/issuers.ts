import type { X509Certificate } from 'node:crypto';
import type { Store } from '../base/redis.ts';
import { splitChain } from '../pki/certificate.ts';
import { isSignedBy, issuerIn } from '../pki/issuer.ts';

/** Who has signed what the accounts got, by the directories of the CAs; the whole fleet knows it. */
export type Issuers = {
  /** Those that this process has noted, each as directory, space, issuer: none is noted with each chain. */
  readonly noted: ReadonlySet<string>;
  /** Notes who signed a chain. @param directory of the CA; '' where that is not recorded */
  note(directory: string, chain: string): Promise<void>;
  /**
   * The directories whose CAs have signed this certificate, '' for one that is not recorded; `undefined`
   * where no issuer is known at all.
   */
  directoriesOf(certificate: X509Certificate): Promise<string[] | undefined>;
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
      const found = members.filter(member => hasSigned(certificate, member.slice(member.indexOf(' ') + 1)));
      return [...new Set(found.map(member => member.slice(0, member.indexOf(' '))))];
    },
  };
}

/** A damaged member has signed nothing. */
function hasSigned(certificate: X509Certificate, issuer: string): boolean {
  try {
    return isSignedBy(certificate, issuer);
  } catch {
    return false;
  }
}
