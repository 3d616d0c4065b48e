import { type AuthBlock, openAdmission } from '../../shared/admission/admit.ts';
import { openSeals } from '../../shared/admission/hmac.ts';
import { openShares } from '../../shared/admission/shares.ts';
import { describeError } from '../../shared/base/basics.ts';
import { openSecret, requireSameSecret } from '../../shared/base/installation.ts';
import { watchOutages } from '../../shared/base/outages.ts';
import type { Store } from '../../shared/base/redis.ts';
import {
  type Role,
  type RoleParts,
  type RunningRole,
  startRole,
  untilAborted,
} from '../../shared/base/role.ts';
import { describeCa } from '../../shared/ca/describe-ca.ts';
import { openIssuers } from '../../shared/ca/issuers.ts';
import { type Ca, openAccountStates, openAccounts, openCas } from '../../shared/ca/open-ca.ts';
import { openBlockedKeys } from '../../shared/limits/blocked-keys.ts';
import { caOf, registeredDomains } from '../../shared/limits/limits.ts';
import { openRevokedCertificates } from '../../shared/limits/revoked-certificates.ts';
import { type BlockSlots, openBlockSlots } from '../../shared/queue/block-slots.ts';
import { openNotices } from '../../shared/queue/notices.ts';
import { openSignRecords } from '../../shared/queue/sign-records.ts';
import { openTurns } from '../../shared/queue/turns.ts';
import { openExpiryIndex } from '../../shared/renewal/expiry-index.ts';
import { openStoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { openSolvers, requireSolvers } from '../../shared/solver/kinds.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import { openTrail } from '../../shared/trail/trail.ts';
import { consumeRevokeJobs } from './consume-revoke-jobs.ts';
import { openFindIssuing } from './find-issuing.ts';
import type { SignJobParts } from './job.ts';
import { accountSubject } from './judge.ts';
import type { Sharing } from './sharing.ts';
import { consumeSignJobs } from './sign-job.ts';

/**
 * The worker role: drives ACME orders from the `sign` queue, and revokes.
 *
 * @throws ConfigError when a verification lacks what it needs on this machine
 */
export function startWorker(config: Config, parts: RoleParts): Role {
  requireSolvers(config.verifications.values());
  const { prefix } = config.redis;
  return startRole('worker', { ...parts, prefix }, role => runWorker(config, parts, role));
}

async function runWorker(config: Config, parts: RoleParts, role: RunningRole): Promise<void> {
  const { clock, log, redisAddress, metrics } = parts;
  const { store, stopping, report } = role;
  const secret = await openSecret(config.secretFile, log);
  await requireSameSecret(store, { secret, file: config.secretFile }, clock, stopping);
  await using stack = new AsyncDisposableStack();
  const cas = stack.use(await openCas(config.accounts.values(), store, { clock, log }));
  const notices = stack.use(openNotices(config.notify, { store, clock, log }));
  report({ notReady: () => `no account yet: ${faultsOf(cas).join('; ')}` });
  await openAccounts(cas.values(), { clock, log }, stopping, ({ name }, error) => {
    const detail = describeError(error);
    log.error({ account: name, reason: detail }, 'the account cannot be used as it is configured');
    void notices.notify({ kind: 'account-paused', subject: accountSubject(name), names: [], detail });
  });

  const [seals, trail] = [openSeals(secret), openTrail(store)];
  const blocks = new Map(openAdmission(config.auth).blocks.map(block => [block.name, block]));
  const storages = openStorages(config.storages.values(), { ...parts, store });
  const records = openSignRecords(store, seals);
  const renewals = openStoredRenewals(config.storages, store);
  const issuers = openIssuers(store);
  const caNames = new Map([...cas.values()].map(({ name, directoryUrl }) => [name, caOf(directoryUrl)]));
  const shareOf = openShares(config.auth, caNames);
  const jobParts: SignJobParts = {
    cas,
    solvers: openSolvers(config.verifications.values(), { store, clock, log }),
    storages,
    renewals,
    issuers,
    records,
    notices,
    outages: watchOutages(store.redis, clock),
    blocks,
    trail,
    seals,
    ...(shareOf && { shareOf: order => shareOf(order, registeredDomains(order.identifiers)) }),
    clock,
    log,
  };
  const queueParts = { redisAddress, prefix: store.prefix, seals, metrics, log };
  const [expiry, blockedKeys] = [openExpiryIndex(store), openBlockedKeys(store)];
  const findIssuing = openFindIssuing({ issuers, storages, expiry });
  const revokeParts = {
    ...{ cas, records, storages, expiry, renewals, findIssuing, blockedKeys },
    revokedCertificates: openRevokedCertificates(store, clock),
    ...{ blocks, trail, clock, log },
  };
  const consumers = [
    consumeSignJobs(
      jobParts,
      config.worker.concurrency,
      await openSharing(blocks.values(), store),
      queueParts,
    ),
    consumeRevokeJobs(revokeParts, queueParts),
  ];
  // Side by side: while Redis is away each takes seconds to stop.
  stack.defer(async () => void (await Promise.all(consumers.map(one => one[Symbol.asyncDispose]()))));
  const states = openAccountStates(store);
  const notes = () => Promise.all([...cas.values()].map(ca => describeCa(ca, states)));
  report({ notReady: () => undefined, notes });
  log.info({ accounts: [...cas.keys()], concurrency: config.worker.concurrency }, 'worker ready');
  await untilAborted(stopping);
}

/** Slots that a change of the configuration has set free are given away at once. */
async function openSharing(blocks: Iterable<AuthBlock>, store: Store): Promise<Sharing> {
  const bounded = new Map<string, BlockSlots>();
  for (const { name, bounds } of blocks) {
    const slots = openBlockSlots(store, name, bounds?.slots);
    if (bounds?.slots !== undefined || bounds?.queueMax !== undefined) bounded.set(name, slots);
    await slots.fill();
  }
  return { turns: openTurns(store), slots: bounded };
}

/** A line for each account that cannot be ordered from now. */
function faultsOf(cas: ReadonlyMap<string, Ca>): string[] {
  return [...cas.values()].flatMap(({ name, account }) => {
    const fault = account.fault();
    return fault === undefined ? [] : [`account ${name}: ${fault}`];
  });
}
