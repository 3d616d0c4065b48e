import { readFile } from 'node:fs/promises';
import { type CaConnection, openCaConnection } from '../../shared/acme/ca-connection.ts';
import { describeError, IssuanceError } from '../../shared/base/errors.ts';
import type { Store } from '../../shared/base/redis.ts';
import { type Role, type RoleParts, ready, startRole, untilAborted } from '../../shared/base/role.ts';
import { USER_AGENT } from '../../shared/base/version.ts';
import { openSignRecords } from '../../shared/queue/sign-records.ts';
import { openExpiryIndex } from '../../shared/renewal/expiry-index.ts';
import { openStoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { requireSolvers } from '../../shared/solver/require-solvers.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import { type AccountHolder, openAccountHolder } from './account-holder.ts';
import { consumeRevokeJobs } from './consume-revoke-jobs.ts';
import { consumeSignJobs } from './consume-sign-jobs.ts';
import type { RevokeJobParts } from './revoke-job.ts';

/**
 * The worker role: drives ACME orders from the `sign` queue.
 *
 * @throws ConfigError when a verification lacks what it needs on this machine
 */
export function startWorker(config: Config, parts: RoleParts): Role {
  const { clock, log, redisUrl } = parts;
  requireSolvers(config.verifications.values());
  const { prefix } = config.redis;
  return startRole('worker', { redisUrl, prefix, clock, log }, async ({ store, stopping, report }) => {
    const ca = config.account.caFile ? [await readFile(config.account.caFile, 'utf8')] : undefined;
    using connection = openCaConnection({
      directoryUrl: config.account.acmeServer,
      userAgent: USER_AGENT,
      clock,
      ca,
    });
    const account = await untilAccountIsOpen(config, connection, parts, stopping, reason => {
      report({ notReady: () => reason });
    });
    const revokeParts = openRevokeParts(config, parts, store, connection, account);
    const consumers = [
      consumeSignJobs(config, parts, store.redis, connection, account),
      consumeRevokeJobs(revokeParts, { redisUrl, prefix, metrics: parts.metrics, log }),
    ];
    report(ready);
    log.info({ ca: config.account.acmeServer, concurrency: config.worker.concurrency }, 'worker ready');
    await untilAborted(stopping);
    await Promise.all(consumers.map(one => one[Symbol.asyncDispose]()));
  });
}

function openRevokeParts(
  config: Config,
  { clock, log }: RoleParts,
  store: Store,
  connection: CaConnection,
  account: AccountHolder,
): RevokeJobParts {
  return {
    ...{ connection, account, log },
    storages: openStorages(config.storages.values(), { store, clock, log }),
    expiry: openExpiryIndex(store),
    renewals: openStoredRenewals(config.storages, store),
    records: openSignRecords(store),
  };
}

/** A CA that is away is waited for; one that refuses us as configured is not. */
async function untilAccountIsOpen(
  { account }: Config,
  connection: CaConnection,
  { clock, log }: RoleParts,
  signal: AbortSignal,
  tell: (reason: string) => void,
): Promise<AccountHolder> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await openAccountHolder(connection, account, log, signal);
    } catch (error) {
      if (!(error instanceof IssuanceError) || (error.code !== 'unavailable' && error.code !== 'rateLimited'))
        throw error;
      const reason = describeError(error);
      if (attempt === 0) log.warn({ reason }, 'no account yet, trying again');
      tell(`no account yet: ${reason}`);
      const backoff = Math.min(500 * 2 ** attempt, 30_000);
      await clock.sleep(Math.max((error.retryAfter ?? 0) - clock.now(), backoff), signal);
    }
  }
}
