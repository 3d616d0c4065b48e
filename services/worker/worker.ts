import { openSeals } from '../../shared/admission/hmac.ts';
import { describeError } from '../../shared/base/errors.ts';
import { openSecret, requireSameSecret } from '../../shared/base/installation.ts';
import { type LivePart, openLivePart } from '../../shared/base/live.ts';
import {
  type Role,
  type RoleParts,
  type RunningRole,
  startRole,
  untilAborted,
} from '../../shared/base/role.ts';
import { openAccountStates } from '../../shared/ca/account-states.ts';
import { describeCa } from '../../shared/ca/describe-ca.ts';
import { type Ca, openAccounts, openCas } from '../../shared/ca/open-ca.ts';
import { openNotices } from '../../shared/queue/notices.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { requireSolvers } from '../../shared/solver/kinds.ts';
import { type Configured, openConfigure } from './configure.ts';
import { consumeAcmeJobs } from './consume-acme-jobs.ts';
import { consumeRevokeJobs } from './consume-revoke-jobs.ts';
import { accountSubject } from './judge.ts';
import { consumeSignJobs } from './sign-job.ts';

/**
 * The worker role: drives ACME orders from the `sign` queue, and revokes.
 *
 * @throws ConfigError when a verification lacks what it needs on this machine
 */
export function startWorker(config: Config, parts: RoleParts): Role<Config> {
  requireSolvers(config.verifications.values());
  const { prefix } = config.redis;
  const part = openLivePart<Config, Configured>(config);
  const notified = { current: config.notify };
  const role = startRole('worker', { ...parts, prefix }, running =>
    runWorker(config, { ...parts, part, notified }, running),
  );
  return Object.assign(role, {
    async prepare(next: Config) {
      requireSolvers(next.verifications.values());
      const take = await part.prepare(next);
      return () => {
        notified.current = next.notify;
        take();
      };
    },
  });
}

type WorkerParts = RoleParts & {
  part: LivePart<Config, Configured>;
  /** The notify blocks of the moment. */
  notified: { current: Config['notify'] };
};

async function runWorker(config: Config, parts: WorkerParts, role: RunningRole): Promise<void> {
  const { part, notified, storing, clock, log, redisAddress, metrics } = parts;
  const { store, stopping, report } = role;
  const secret = await openSecret(config.secretFile, log);
  await requireSameSecret(store, { secret, file: config.secretFile }, clock, stopping);
  await using stack = new AsyncDisposableStack();
  const cas = stack.use(await openCas(config.accounts.values(), store, { clock, log }));
  const notices = stack.use(openNotices(notified, { store, clock, log }));
  report({ notReady: () => `no account yet: ${faultsOf(cas).join('; ')}` });
  await openAccounts(cas.values(), { clock, log }, stopping, ({ name }, error) => {
    const detail = describeError(error);
    log.error({ account: name, reason: detail }, 'the account cannot be used as it is configured');
    void notices.notify({ kind: 'account-paused', subject: accountSubject(name), names: [], detail });
  });

  const seals = openSeals(secret);
  const configure = openConfigure({ store, seals, cas, notices, storing, clock, log });
  const live = await part.begin(configure, ({ fillSlots }) => {
    fillSlots().catch(error => log.debug({ reason: describeError(error) }, 'slots cannot be given away'));
  });
  await live.current.fillSlots();
  const queueParts = { redisAddress, prefix: store.prefix, seals, metrics, clock, log };
  const consumers = [
    consumeSignJobs(live, config.worker.concurrency, queueParts),
    consumeRevokeJobs(live, queueParts),
    consumeAcmeJobs(live, queueParts),
  ];
  // Side by side: while Redis is away each takes seconds to stop.
  stack.defer(async () => void (await Promise.all(consumers.map(one => one[Symbol.asyncDispose]()))));
  const states = openAccountStates(store);
  const notes = () => Promise.all([...live.current.jobs.cas.values()].map(ca => describeCa(ca, states)));
  report({ notReady: () => undefined, notes });
  log.info({ accounts: [...cas.keys()], concurrency: config.worker.concurrency }, 'worker ready');
  await untilAborted(stopping);
}

/** A line for each account that cannot be ordered from now. */
function faultsOf(cas: ReadonlyMap<string, Ca>): string[] {
  return [...cas.values()].flatMap(({ name, account }) => {
    const { fault } = account;
    return fault === undefined ? [] : [`account ${name}: ${describeError(fault)}`];
  });
}
