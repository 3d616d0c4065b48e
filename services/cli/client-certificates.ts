import { openCertificates } from '../../shared/acme-server/certificates.ts';
import { openSeals } from '../../shared/admission/hmac.ts';
import { scanAll } from '../../shared/base/scan.ts';
import type { ManagedCertificate } from '../../shared/renewal/renewal-index.ts';
import type { FleetWithSecret } from './fleet-redis.ts';

// The certificates of ACME clients, which Quarry does not renew by itself, for `quarry reissue`.

/** What can be reissued, whoever renews it. */
export type Reissuable = Pick<
  ManagedCertificate,
  'id' | 'names' | 'notBefore' | 'notAfter' | 'superseded' | 'issuedBy'
>;

const READ_AT_ONCE = 200;
const ID = 'acme/';

export const isClients = ({ id }: Pick<Reissuable, 'id'>) => id.startsWith(ID);

export function openClientCertificates({
  store,
  clock,
  secret,
}: Pick<FleetWithSecret, 'store' | 'clock' | 'secret'>) {
  const certificates = openCertificates(store, openSeals(secret));

  async function read(fingerprints: readonly string[]): Promise<Reissuable[]> {
    const texts = await store.redis.mget(fingerprints.map(certificates.key));
    return fingerprints.flatMap((fingerprint, at) => {
      const found = certificates.parse(fingerprint, texts[at]);
      if (!found) return [];
      const { names, notBefore, notAfter, issuedBy, revoked, replacedBy } = found;
      const superseded = revoked !== undefined || replacedBy !== undefined;
      return [{ id: ID + fingerprint, names, notBefore, notAfter, issuedBy, superseded }];
    });
  }

  return {
    /** All of them. */
    async list(): Promise<Reissuable[]> {
      const start = certificates.key('');
      const all = new Set<string>(); // a key may come twice
      for await (const key of scanAll(store.redis, start, '*')) all.add(key.slice(start.length));
      const fingerprints = [...all];
      const found: Reissuable[] = [];
      for (let at = 0; at < fingerprints.length; at += READ_AT_ONCE)
        found.push(...(await read(fingerprints.slice(at, at + READ_AT_ONCE))));
      return found;
    },
    /** Has their renewal information say from now on that it is time. */
    async reissue(found: readonly Reissuable[]): Promise<void> {
      for (const { id } of found) await certificates.mark(id.slice(ID.length), { reissue: clock.now() });
    },
  };
}
