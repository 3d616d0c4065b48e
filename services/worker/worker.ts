import { readFile } from 'node:fs/promises';
import { type CaConnection, openCaConnection } from '../../shared/acme/ca-connection.ts';
import { describeError, IssuanceError } from '../../shared/base/errors.ts';
import { closeRedis, openRedis, type Redis, untilRedisAnswers } from '../../shared/base/redis.ts';
import type { Role, RoleParts } from '../../shared/base/role.ts';
import { USER_AGENT } from '../../shared/base/version.ts';
import { openSignRecords } from '../../shared/queue/sign-records.ts';
import { openExpiryIndex } from '../../shared/renewal/expiry-index.ts';
import { openStoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { requireSolvers } from '../../shared/solver/kinds.ts';
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
  const stopping = new AbortController();
  const redis = openRedis(redisUrl, 'patient', log);
  let notReady: string | undefined = 'starting';
  let stop = async () => {};

  const running = run().catch(error => {
    if (!stopping.signal.aborted) throw error;
  });
  const failed = running.then(() => new Promise<never>(() => {}));
  failed.catch(() => {}); // whoever runs the role may look later

  async function run() {
    await untilRedisAnswers(redis, clock, stopping.signal);
    const ca = config.account.caFile ? [await readFile(config.account.caFile, 'utf8')] : undefined;
    const connection = openCaConnection({
      directoryUrl: config.account.acmeServer,
      userAgent: USER_AGENT,
      clock,
      ca,
    });
    const account = await untilAccountIsOpen(config, connection, parts, stopping.signal, reason => {
      notReady = reason;
    });
    const consumer = consumeSignJobs(config, parts, redis, connection, account);
    const revoker = consumeRevokeJobs(openRevokeParts(config, parts, redis, connection, account), {
      ...{ redisUrl, prefix: config.redis.prefix, metrics: parts.metrics, log },
    });
    stop = async () => {
      await Promise.all([consumer, revoker].map(one => one[Symbol.asyncDispose]()));
      connection[Symbol.dispose]();
    };
    notReady = undefined;
    log.info({ ca: config.account.acmeServer, concurrency: config.worker.concurrency }, 'worker ready');
  }

  return {
    name: 'worker',
    notReady: () => notReady ?? (redis.status === 'ready' ? undefined : 'Redis cannot be reached'),
    failed,
    async [Symbol.asyncDispose]() {
      stopping.abort(new Error('worker is stopping'));
      await running.catch(() => {});
      await stop();
      closeRedis(redis);
    },
  };
}

function openRevokeParts(
  config: Config,
  { clock, log }: RoleParts,
  redis: Redis,
  connection: CaConnection,
  account: AccountHolder,
): RevokeJobParts {
  const store = { redis, prefix: config.redis.prefix };
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
