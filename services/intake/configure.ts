import type { Middleware } from 'koa';
import { openAdmission } from '../../shared/admission/admit.ts';
import type { Seals } from '../../shared/admission/hmac.ts';
import { openTakeOnce } from '../../shared/admission/hmac2.ts';
import { withRates } from '../../shared/admission/rates.ts';
import { openJudgeToken } from '../../shared/admission/tokens.ts';
import type { Clock, Log } from '../../shared/base/basics.ts';
import { toAddressSet } from '../../shared/base/identifier.ts';
import { keepUnchanged } from '../../shared/base/live.ts';
import type { Store } from '../../shared/base/redis.ts';
import type { Storing } from '../../shared/base/storage-faults.ts';
import { openIssuing } from '../../shared/issue/request-certificate.ts';
import { caOf, openStandingLimits } from '../../shared/limits/limits.ts';
import { openRevokedCertificates } from '../../shared/limits/revoked-certificates.ts';
import type { BlockedKey } from '../../shared/limits/standing-limit.ts';
import type { AcmeQueue } from '../../shared/queue/acme-queue.ts';
import { withQueueMax } from '../../shared/queue/queue-max.ts';
import type { RevokeQueue } from '../../shared/queue/revoke-queue.ts';
import type { SignQueue } from '../../shared/queue/sign-queue.ts';
import { openStoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { toIssuedBy } from '../../shared/storage/issued-for.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import type { StorageConfig } from '../../shared/storage/storage-section.ts';
import type { Trail } from '../../shared/trail/trail.ts';
import type { AcmeParts } from './acme/routes.ts';
import { createRoutes } from './app.ts';
import { type ClientCertificates, openClientCertificates } from './client-certificates.ts';
import type { Refusals } from './refusals.ts';
import type { Clients } from './routes/sign.ts';

/** Seconds that a storage is given for a look, however short clients are to wait. */
const SHORTEST_LOOK = 1;

/** What stays while the configuration changes. */
type Lasting = {
  store: Store;
  seals: Seals;
  /** The installation's. */
  secret: Buffer;
  signQueue: SignQueue;
  revokeQueue: RevokeQueue;
  acmeQueue: AcmeQueue;
  blockedKeys: ReadonlyMap<string, BlockedKey>;
  trail: Trail;
  refusals: Refusals;
  storing: Storing;
  /** Fires when the intake stops. */
  stopping: AbortSignal;
  clock: Clock;
  log: Log;
};

/** What the intake makes of a configuration. Nothing is read again by itself before it is watched. */
export type Configured = { routes: Middleware; clientCertificates: ClientCertificates | undefined };

/**
 * Makes of each configuration that is handed in what answers requests. Storages that are the same in two of
 * them keep what they have read.
 *
 * @returns rejects with an Error in one line where a file that the configuration names cannot be used
 */
export function openConfigure(lasting: Lasting): (config: Config) => Promise<Configured> {
  const { store, seals, blockedKeys, trail, storing, clock, log } = lasting;
  const lookups = {
    takeOnce: openTakeOnce(store),
    judgeToken: openJudgeToken(store, seals, clock),
    isRevoked: openRevokedCertificates(store, clock).has,
  };
  const keepStorages = keepUnchanged((config: StorageConfig) =>
    openStorages([config], { store, storing, clock, log }).get(config.name),
  );

  return async config => {
    const { maxSize, wait, trustedProxies, clientCaFile } = config.mgmt;
    const clients: Clients = { isTrustedProxy: toAddressSet(trustedProxies) };
    const clientCertificates =
      clientCaFile === undefined
        ? undefined
        : openClientCertificates(clientCaFile, { ...clients, blockedKeys, clock, log });
    if (clientCertificates) clients.certificateOf = clientCertificates.certificateOf;
    const admission = openAdmission(config.auth, lookups);
    const accounts = [...config.accounts.values()].map(toIssuedBy);
    const limits = accounts.map(
      ({ account, directory }) =>
        [account, openStandingLimits(store, { account, ca: caOf(directory) }, clock)] as const,
    );
    const issuing = openIssuing({
      admission,
      accounts,
      storages: keepStorages(config.storages.values()),
      limits: new Map(limits),
      renewals: openStoredRenewals(config.storages, store),
      signQueue: withQueueMax(lasting.signQueue, store, queueMaxOf(config.auth), clock),
      longestLook: Math.max(wait, SHORTEST_LOOK) * 1000,
      ...{ blockedKeys, trail, clock, log },
    });
    const ratedAdmission = withRates(admission, store, { clock, log });
    const waiting = { clock, wait, stopping: lasting.stopping };
    const { revokeQueue } = lasting;
    const used = { clients, issuing, revokeQueue, waiting, trail };
    const acme = await openAcme(config, { ...lasting, ...used, admission, ratedAdmission });
    const routes = createRoutes({
      ...used,
      admission: ratedAdmission,
      maxSize,
      acme,
      acmeUrl: config.acme.url,
    });
    return { routes, clientCertificates };
  };
}

/** The ACME server's code is loaded where there is one. */
async function openAcme(
  { acme, auth }: Pick<Config, 'acme' | 'auth'>,
  parts: Omit<AcmeParts, 'acme' | 'auth' | 'url'>,
): Promise<Middleware | undefined> {
  if (acme.url === undefined) return undefined;
  const { createAcmeRoutes } = await import('./acme/routes.ts');
  return createAcmeRoutes({ ...parts, acme, auth, url: acme.url });
}

const queueMaxOf = (blocks: Config['auth']) =>
  new Map(blocks.flatMap(({ name, bounds }) => (bounds?.queueMax ? [[name, bounds.queueMax] as const] : [])));
