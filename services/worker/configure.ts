import { openAccounts } from '../../shared/acme-server/accounts.ts';
import { openCertificates } from '../../shared/acme-server/certificates.ts';
import { openKnownWindows } from '../../shared/acme-server/known-windows.ts';
import { openOrders } from '../../shared/acme-server/orders.ts';
import { openAdmission } from '../../shared/admission/admit.ts';
import type { Seals } from '../../shared/admission/hmac.ts';
import { openShares } from '../../shared/admission/shares.ts';
import type { Clock, Log } from '../../shared/base/basics.ts';
import { keepUnchanged } from '../../shared/base/live.ts';
import { watchOutages } from '../../shared/base/outages.ts';
import type { Store } from '../../shared/base/redis.ts';
import type { Storing } from '../../shared/base/storage-faults.ts';
import { countedBy } from '../../shared/ca/counted-by.ts';
import { openIssuers } from '../../shared/ca/issuers.ts';
import type { Ca } from '../../shared/ca/open-ca.ts';
import { openBlockedKeys } from '../../shared/limits/blocked-keys.ts';
import { caOf, registeredDomains } from '../../shared/limits/limits.ts';
import { openRevokedCertificates } from '../../shared/limits/revoked-certificates.ts';
import { openBlockSlots } from '../../shared/queue/block-slots.ts';
import type { Notices } from '../../shared/queue/notices.ts';
import { openSignRecords } from '../../shared/queue/sign-records.ts';
import { openTurns } from '../../shared/queue/turns.ts';
import { openExpiryIndex } from '../../shared/renewal/expiry-index.ts';
import { openStoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import { openUnstored } from '../../shared/renewal/unstored.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { openSolvers, type VerificationConfig } from '../../shared/solver/kinds.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import type { StorageConfig } from '../../shared/storage/storage-section.ts';
import { openTrail } from '../../shared/trail/trail.ts';
import type { AcmeJobParts } from './consume-acme-jobs.ts';
import type { RevokeParts } from './consume-revoke-jobs.ts';
import { openFindIssuing } from './find-issuing.ts';
import type { SignJobParts } from './job.ts';
import type { Sharing } from './sharing.ts';

/** What stays while the configuration changes. */
type Lasting = {
  store: Store;
  seals: Seals;
  cas: ReadonlyMap<string, Ca>;
  notices: Notices;
  storing: Storing;
  clock: Clock;
  log: Log;
};

/** What the worker makes of a configuration: a job keeps what it was taken up with. */
export type Configured = {
  jobs: SignJobParts;
  sharing: Sharing;
  revocations: RevokeParts;
  acmeJobs: AcmeJobParts;
  /** Slots that a change of the configuration has set free are given away at once. */
  fillSlots(): Promise<void>;
};

/**
 * Makes of each configuration that is handed in what jobs need. Solvers and storages that are the same in two
 * of them keep what they have learnt.
 */
export function openConfigure({
  store,
  seals,
  cas: opened,
  notices,
  storing,
  clock,
  log,
}: Lasting): (config: Config) => Configured {
  const parts = { store, storing, clock, log };
  const [records, trail, issuers] = [openSignRecords(store, seals), openTrail(store), openIssuers(store)];
  const [turns, outages, expiry] = [
    openTurns(store, seals),
    watchOutages(store.redis, clock),
    openExpiryIndex(store),
  ];
  const [blockedKeys, orders] = [openBlockedKeys(store), openOrders(store, seals, clock)];
  const revokedCertificates = openRevokedCertificates(store, clock);
  const clientAccounts = openAccounts(store, seals, clock);
  const [certificates, windows] = [openCertificates(store, seals), openKnownWindows(store, seals)];
  const caNames = new Map([...opened.values()].map(({ name, directoryUrl }) => [name, caOf(directoryUrl)]));
  const keepStorages = keepUnchanged((config: StorageConfig) =>
    openStorages([config], parts).get(config.name),
  );
  const keepSolvers = keepUnchanged((config: VerificationConfig) =>
    openSolvers([config], parts).get(config.name),
  );

  return config => {
    const cas = countedBy(config.accounts, opened, parts);
    const blocks = new Map(openAdmission(config.auth).blocks.map(block => [block.name, block]));
    const storages = keepStorages(config.storages.values());
    const solvers = keepSolvers(config.verifications.values());
    const renewals = openStoredRenewals(config.storages, store);
    const shareOf = openShares(config.auth, caNames);
    const { slots, fillSlots } = openSlots(config.auth, store);
    const unstored = openUnstored(config.storages, store, seals, clock);
    const common = { cas, storages, unstored, renewals, records, blocks, trail, clock, log };
    return {
      jobs: {
        ...{ ...common, solvers, issuers, notices, outages, orders, clientAccounts, seals },
        ...(shareOf && { shareOf: order => shareOf(order, registeredDomains(order.identifiers)) }),
      },
      sharing: { turns, slots },
      fillSlots,
      acmeJobs: { ...common, orders, certificates, windows, notices, proof: config.acme.proof },
      revocations: {
        ...{ ...common, expiry, blockedKeys, revokedCertificates },
        clientCertificates: certificates,
        findIssuing: openFindIssuing({ issuers, storages, expiry }),
      },
    };
  };
}

function openSlots(blocks: Config['auth'], store: Store) {
  const all = blocks.map(({ name, bounds }) => [name, openBlockSlots(store, name, bounds?.slots)] as const);
  const isBounded = new Set(
    blocks.filter(({ bounds }) => bounds?.slots ?? bounds?.queueMax).map(({ name }) => name),
  );
  return {
    slots: new Map(all.filter(([name]) => isBounded.has(name))),
    async fillSlots() {
      for (const [, slots] of all) await slots.fill();
    },
  };
}
