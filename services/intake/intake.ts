import { openSeals } from '../../shared/admission/hmac.ts';
import { lookKey, watchHealth } from '../../shared/base/health.ts';
import { openSecret, requireSameSecret } from '../../shared/base/installation.ts';
import { atListener, openListeners } from '../../shared/base/listeners.ts';
import type { Live } from '../../shared/base/live.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { failsWith, type Role, type RoleParts } from '../../shared/base/role.ts';
import { watchBlockedKeys } from '../../shared/limits/blocked-keys.ts';
import { openAcmeQueue } from '../../shared/queue/acme-queue.ts';
import { openRevokeQueue } from '../../shared/queue/revoke-queue.ts';
import { openSignQueue } from '../../shared/queue/sign-queue.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { openTrail, trailOptions } from '../../shared/trail/trail.ts';
import { createApp } from './app.ts';
import { type Configured, openConfigure } from './configure.ts';
import { countRefused } from './count-refused.ts';
import { openRefusals } from './refusals.ts';
import { openServers } from './servers.ts';

/** Milliseconds that the intake waits for Redis before it listens all the same. */
const FIRST_LOOK = 1_000;

/** The intake role: takes CSRs over HTTP(S), and answers 503 while Redis is away. */
export async function startIntake(config: Config, parts: RoleParts): Promise<Role<Config>> {
  const { redisAddress, clock, log, metrics } = parts;
  // Ends in the reverse order of its lines: waiting clients are answered first, Redis is closed last.
  await using stack = new AsyncDisposableStack();
  const redis = stack.adopt(openRedis(redisAddress, 'impatient', log), closeRedis);
  const store = { redis, prefix: config.redis.prefix };
  const secret = await openSecret(config.secretFile, log);
  const seals = openSeals(secret);
  const revokeQueue = stack.use(openRevokeQueue({ store, seals, clock, log }));
  const acmeQueue = stack.use(openAcmeQueue({ store, seals, clock, log }));
  const signQueue = stack.use(openSignQueue({ store, redisAddress, seals, clock, log }));
  const { known: blockedKeys } = stack.use(watchBlockedKeys(store, { redisAddress, log }));
  const trail = openTrail(store, trailOptions(config.trail));
  const refusals = stack.use(openRefusals(trail, clock, log));
  const stopping = new AbortController();
  const { storing } = parts;
  const queues = { signQueue, revokeQueue, acmeQueue, blockedKeys, trail, refusals, storing };
  const own = { store, seals, secret, stopping: stopping.signal };
  const configure = openConfigure({ ...queues, ...own, clock, log });
  const known = { secret, file: config.secretFile };
  const check = async () => {
    await parts.untilRedisFits?.(stopping.signal);
    await requireSameSecret(store, known, clock, stopping.signal);
  };
  const checked = check();
  const failed = failsWith(checked, stopping.signal);
  await Promise.race([checked, clock.sleep(FIRST_LOOK)]);

  const first = await configure(config);
  const live = takeInTurn(first);
  stack.defer(() => live.stop());
  const app = createApp({ routes: live.routes, refusals, clock, log, metrics });
  const servers = stack.use(openServers(config.mgmt, app.callback(), log));
  const cap = { most: parts.room?.clients ?? Infinity, onRefused: countRefused(clock, log, metrics) };
  const opening = openListeners(config.mgmt.listeners, servers.create, log, cap);
  const open = stack.use(await opening.catch(atListener('[mgmt] listener')));
  stack.defer(() => stopping.abort());
  log.info({ listeners: open.addresses }, 'intake listens');
  const health = stack.use(watchHealth(redis, log, lookKey(store.prefix)));
  const running = stack.move();
  return {
    name: 'intake',
    notReady: health.fault,
    findFault: health.look,
    failed,
    async prepare(next) {
      const configured = await configure(next);
      const useFiles = servers.prepare(next.mgmt);
      return () => {
        useFiles();
        live.take(configured);
      };
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/**
 * The file that is watched is that of the configuration in force; requests that have begun keep what they
 * read.
 */
function takeInTurn({ routes: first, clientCertificates }: Configured) {
  const routes: Live<Configured['routes']> = { current: first };
  let watching = clientCertificates?.watch();
  return {
    routes,
    take(next: Configured) {
      routes.current = next.routes;
      watching?.[Symbol.dispose]();
      watching = next.clientCertificates?.watch();
    },
    stop: () => watching?.[Symbol.dispose](),
  };
}
