import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { openAdmission } from '../../shared/admission/admit.ts';
import { toAddressSet } from '../../shared/admission/ip.ts';
import { describeError } from '../../shared/base/errors.ts';
import { openListeners } from '../../shared/base/listeners.ts';
import type { Log } from '../../shared/base/log.ts';
import { closeRedis, openRedis, whyRedisIsAway } from '../../shared/base/redis.ts';
import type { Role, RoleParts } from '../../shared/base/role.ts';
import type { MgmtConfig } from '../../shared/config/mgmt.ts';
import { openLimits } from '../../shared/limits/limits.ts';
import { openRevokeQueue } from '../../shared/queue/revoke-queue.ts';
import { openSignQueue } from '../../shared/queue/sign-queue.ts';
import { openStoredRenewals } from '../../shared/renewal/stored-renewals.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { openStorages } from '../../shared/storage/open-storage.ts';
import { createApp } from './app.ts';
import { openNoteFetch } from './note-fetch.ts';

/** A CSR is small: who needs longer to send one holds a connection for nothing. */
const RECEIVE_TIMEOUT = 20_000;
const RELOAD_INTERVAL = 5_000;

export type Intake = Role & { readonly addresses: { host: string; port: number }[] };

/** The intake role: takes CSRs over HTTP(S), and answers 503 while Redis is away. */
export async function startIntake(
  config: Config,
  { redisUrl, clock, log, metrics }: RoleParts,
): Promise<Intake> {
  const redis = openRedis(redisUrl, 'impatient', log);
  const store = { redis, prefix: config.redis.prefix };
  const signQueue = openSignQueue({ store, redisUrl, log });
  const revokeQueue = openRevokeQueue({ store, clock, log });
  const stopping = new AbortController();
  const app = createApp({
    admission: openAdmission(config.auth),
    storages: openStorages(config.storages.values(), { store, clock, log }),
    limits: openLimits(store, clock),
    noteFetch: openNoteFetch(openStoredRenewals(config.storages, store), { clock, log }),
    signQueue,
    revokeQueue,
    account: config.account.name,
    maxSize: config.mgmt.maxSize,
    wait: config.mgmt.wait,
    isTrustedProxy: toAddressSet(config.mgmt.trustedProxies),
    stopping: stopping.signal,
    clock,
    log,
    metrics,
  });
  const close = async () => {
    await signQueue[Symbol.asyncDispose]();
    await revokeQueue[Symbol.asyncDispose]();
    closeRedis(redis);
  };
  try {
    const listeners = await openListeners(
      config.mgmt.listeners,
      serverMaker(config.mgmt, app.callback(), log),
      log,
    );
    log.info({ listeners: listeners.addresses }, 'intake listens');
    return {
      name: 'intake',
      addresses: listeners.addresses,
      notReady: () => whyRedisIsAway(redis),
      failed: new Promise(() => {}),
      async [Symbol.asyncDispose]() {
        stopping.abort();
        await listeners[Symbol.asyncDispose]();
        for (const file of tlsFiles(config.mgmt)) unwatchFile(file);
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

const tlsFiles = ({ tls }: MgmtConfig) => (tls ? [tls.certFile, tls.keyFile] : []);

/** A certificate that is renewed on disk is taken over without a restart. */
function serverMaker(mgmt: MgmtConfig, handler: RequestListener, log: Log): () => Server {
  const options = {
    headersTimeout: RECEIVE_TIMEOUT,
    requestTimeout: RECEIVE_TIMEOUT,
    connectionsCheckingInterval: 1_000,
  };
  const { tls } = mgmt;
  if (!tls) return () => createServer(options, handler);
  const read = () => ({ cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile) });
  return () => {
    const server = createTlsServer({ ...options, ...read() }, handler);
    const reload = () => {
      try {
        server.setSecureContext(read());
        log.info({ file: tls.certFile }, 'TLS certificate read again');
      } catch (error) {
        // Between the writing of the two files they do not fit each other; the second one comes here again.
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
