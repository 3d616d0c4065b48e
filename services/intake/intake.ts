import { constants } from 'node:crypto';
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import type { RequestListener, Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { openAdmission } from '../../shared/admission/admit.ts';
import { openSeals } from '../../shared/admission/hmac.ts';
import { openTakeOnce } from '../../shared/admission/hmac2.ts';
import { withRates } from '../../shared/admission/rates.ts';
import { openJudgeToken } from '../../shared/admission/tokens.ts';
import { describeError, type Log } from '../../shared/base/basics.ts';
import { http } from '../../shared/base/http.ts';
import { toAddressSet } from '../../shared/base/identifier.ts';
import { openSecret, requireSameSecret } from '../../shared/base/installation.ts';
import { openListeners } from '../../shared/base/listeners.ts';
import { whyRedisIsAway } from '../../shared/base/outages.ts';
import { closeRedis, openRedis } from '../../shared/base/redis.ts';
import { failsWith, type Role, type RoleParts } from '../../shared/base/role.ts';
import type { MgmtConfig } from '../../shared/config/mgmt.ts';
import { openIssuing } from '../../shared/issue/request-certificate.ts';
import { watchBlockedKeys } from '../../shared/limits/blocked-keys.ts';
import { caOf, openStandingLimits } from '../../shared/limits/limits.ts';
import { openRevokedCertificates } from '../../shared/limits/revoked-certificates.ts';
import { withQueueMax } from '../../shared/queue/queue-max.ts';
import { openRevokeQueue } from '../../shared/queue/revoke-queue.ts';
import { openSignQueue } from '../../shared/queue/sign-queue.ts';
import { openStoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { toIssuedBy } from '../../shared/storage/issued-for.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import { openTrail, trailOptions } from '../../shared/trail/trail.ts';
import { createApp } from './app.ts';
import { openClientCertificates } from './client-certificates.ts';
import { openRefusals } from './refusals.ts';
import type { Clients } from './routes/sign.ts';

/** Milliseconds. A CSR is small: a client still sending after 20 s is stalled. */
const RECEIVE_TIMEOUT = 20_000;
const RELOAD_INTERVAL = 5_000;
/** Milliseconds that the intake waits for Redis before it listens all the same. */
const FIRST_LOOK = 1_000;

/** The intake role: takes CSRs over HTTP(S), and answers 503 while Redis is away. */
export async function startIntake(config: Config, parts: RoleParts): Promise<Role> {
  const { redisAddress, clock, log } = parts;
  const { listeners, maxSize, wait, trustedProxies, clientCaFile } = config.mgmt;
  // Ends in the reverse order of its lines: waiting clients are answered first, Redis is closed last.
  await using stack = new AsyncDisposableStack();
  const redis = stack.adopt(openRedis(redisAddress, 'impatient', log), closeRedis);
  const store = { redis, prefix: config.redis.prefix };
  const secret = await openSecret(config.secretFile, log);
  const seals = openSeals(secret);
  const revokeQueue = stack.use(openRevokeQueue({ store, seals, clock, log }));
  const signQueue = stack.use(openSignQueue({ store, redisAddress, seals, clock, log }));
  const admission = openAdmission(config.auth, {
    takeOnce: openTakeOnce(store),
    judgeToken: openJudgeToken(store, seals, clock),
    isRevoked: openRevokedCertificates(store, clock).has,
  });
  const storages = openStorages(config.storages.values(), { store, clock, log });
  const accounts = [...config.accounts.values()].map(toIssuedBy);
  const limits = new Map(
    accounts.map(({ account, directory }) => [
      account,
      openStandingLimits(store, { account, ca: caOf(directory) }, clock),
    ]),
  );
  const renewals = openStoredRenewals(config.storages, store);
  const { known: blockedKeys } = stack.use(watchBlockedKeys(store, { redisAddress, log }));
  const trail = openTrail(store, trailOptions(config.trail));
  const refusals = stack.use(openRefusals(trail, clock, log));
  const most = queueMaxOf(config.auth);
  const bounded = most.size > 0 ? withQueueMax(signQueue, store, most, clock) : signQueue;
  const queues = { signQueue: bounded, renewals, blockedKeys, trail };
  const issuing = openIssuing({ admission, storages, limits, accounts, ...queues, clock, log });
  const stopping = new AbortController();
  const known = { secret, file: config.secretFile };
  const check = async () => {
    await parts.untilRedisFits?.(stopping.signal);
    await requireSameSecret(store, known, clock, stopping.signal);
  };
  const checked = check();
  const failed = failsWith(checked, stopping.signal);
  await Promise.race([checked, clock.sleep(FIRST_LOOK)]);
  const waiting = { clock, wait, stopping: stopping.signal };
  const clients: Clients = { isTrustedProxy: toAddressSet(trustedProxies) };
  if (clientCaFile !== undefined) {
    const shown = stack.use(openClientCertificates(clientCaFile, { ...clients, blockedKeys, clock, log }));
    clients.certificateOf = shown.certificateOf;
  }
  const app = createApp({
    ...parts,
    admission: withRates(admission, store, { clock, log }),
    clients,
    maxSize,
    issuing,
    revokeQueue,
    waiting,
    trail,
    refusals,
  });

  stack.defer(() => unwatchTlsFiles(config.mgmt));
  const open = stack.use(await openListeners(listeners, serverMaker(config.mgmt, app.callback(), log), log));
  stack.defer(() => stopping.abort());
  log.info({ listeners: open.addresses }, 'intake listens');
  const running = stack.move();
  return {
    name: 'intake',
    notReady: () => whyRedisIsAway(redis),
    failed,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** Makes servers that take over a certificate renewed on disk without a restart. */
function serverMaker(mgmt: MgmtConfig, handler: RequestListener, log: Log): () => Server {
  const options = {
    headersTimeout: RECEIVE_TIMEOUT,
    requestTimeout: RECEIVE_TIMEOUT,
    connectionsCheckingInterval: 1_000,
  };
  const { tls, clientCaFile } = mgmt;
  if (!tls) return () => http.createServer(options, handler);
  const read = () => ({
    ...{ cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile) },
    ...(clientCaFile !== undefined && toContext(clientCaFile)),
  });
  // Whether a certificate counts is for admission to say.
  const asking = clientCaFile === undefined ? {} : { requestCert: true, rejectUnauthorized: false };
  return () => {
    const server = createTlsServer({ ...options, ...asking, ...read() }, handler);
    const reload = () => {
      try {
        server.setSecureContext(read());
        log.info({ file: tls.certFile }, 'TLS certificate read again');
      } catch (error) {
        // The two files do not fit each other while only one is written; the second one comes here again.
        log.warn(
          { file: tls.certFile, reason: describeError(error) },
          'TLS certificate unusable, the old one stays',
        );
      }
    };
    for (const file of tlsFiles(mgmt))
      watchFile(file, { interval: RELOAD_INTERVAL, persistent: false }, reload);
    return server;
  };
}

/** The CAs are named to clients. A resumed session holds no chain, and would outlive its certificate. */
const toContext = (clientCaFile: string) => ({
  ca: readFileSync(clientCaFile),
  secureOptions: constants.SSL_OP_NO_TICKET,
});

const tlsFiles = ({ tls, clientCaFile }: MgmtConfig) =>
  tls ? [tls.certFile, tls.keyFile, ...(clientCaFile === undefined ? [] : [clientCaFile])] : [];

function unwatchTlsFiles(mgmt: MgmtConfig): void {
  for (const file of tlsFiles(mgmt)) unwatchFile(file);
}

const queueMaxOf = (blocks: Config['auth']) =>
  new Map(blocks.flatMap(({ name, bounds }) => (bounds?.queueMax ? [[name, bounds.queueMax] as const] : [])));
