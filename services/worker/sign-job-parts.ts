import type { Accounts } from '../../shared/acme-server/accounts.ts';
import type { Orders } from '../../shared/acme-server/orders.ts';
import type { AuthBlock } from '../../shared/admission/admit.ts';
import type { Seals } from '../../shared/admission/hmac.ts';
import type { Clock, Log } from '../../shared/base/basics.ts';
import type { Identifier } from '../../shared/base/identifier.ts';
import type { Outages } from '../../shared/base/outages.ts';
import type { Issuers } from '../../shared/ca/issuers.ts';
import type { Ca } from '../../shared/ca/open-ca.ts';
import type { Share } from '../../shared/limits/share.ts';
import type { WaitsFor } from '../../shared/order/order-state.ts';
import type { Certificate } from '../../shared/pki/certificate.ts';
import type { JobLock } from '../../shared/queue/bullmq.ts';
import type { Notices } from '../../shared/queue/notices.ts';
import type { SignJobData, SignRecords, SignResult } from '../../shared/queue/sign-records.ts';
import type { StoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import type { Unstored } from '../../shared/renewal/unstored.ts';
import type { Solver } from '../../shared/solver/solver.ts';
import type { Storage } from '../../shared/storage/storage.ts';
import type { Trail } from '../../shared/trail/trail.ts';

// What a sign job is made of, and what it needs.

/** Shared by all sign jobs of a process. */
export type SignJobParts = {
  /** By the names of their accounts. */
  cas: ReadonlyMap<string, Ca>;
  solvers: ReadonlyMap<string, Solver>;
  storages: ReadonlyMap<string, Storage>;
  unstored: Unstored;
  renewals: StoredRenewals;
  issuers: Pick<Issuers, 'noted' | 'note'>;
  records: SignRecords;
  notices: Pick<Notices, 'notify' | 'ended'>;
  /** Of ACME clients. */
  orders: Pick<Orders, 'read' | 'end' | 'ending'>;
  clientAccounts: Pick<Accounts, 'read'>;
  outages: Outages;
  /** The auth blocks by their names. */
  blocks: ReadonlyMap<string, AuthBlock>;
  trail: Pick<Trail, 'write'>;
  seals: Seals;
  /** What an order may use of what the CA allows; absent where nothing is divided. */
  shareOf?: (order: { block: string; account: string; identifiers: Identifier[] }) => Share | undefined;
  clock: Clock;
  log: Log;
};

export type SignJob = {
  lock: JobLock;
  data: SignJobData;
  /** Whether the data were made for this job by who knows the secret of the installation. */
  isSealed: boolean;
  createdAt: number;
  /** Whether no worker has had the job before, so that nothing is kept of it. */
  isNew?: boolean;
};

/**
 * `finished`: the result is written, `key` is where. `later`: to be run again at `until`, in milliseconds
 * since the epoch; `hasOrder`: a CA has an order of the job; `why`: what keeps the order from being made.
 */
export type SignJobEnd =
  | { end: 'finished'; key: string; result: SignResult }
  | { end: 'later'; until: number; hasOrder: boolean; why?: WaitsFor };

/** How a job ended that got its certificate. */
export type Issued = Extract<SignResult, { outcome: 'issued' }>;

export type Signals = {
  /** Ends the job between two steps. */
  stopping: AbortSignal;
  /** Ends it at once. */
  abort: AbortSignal;
};

/** Where a result is. */
export type Written = { key: string; result: SignResult };

/** The certificate that is a job's result, and whether the job had it issued or found it in a storage. */
export type Got = { how: 'issued' | 'handed-out'; leaf: Certificate };
