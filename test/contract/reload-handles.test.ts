import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { startIntake } from '../../services/intake/intake.ts';
import { startResponder } from '../../services/responder/responder.ts';
import { startScheduler } from '../../services/scheduler/scheduler.ts';
import { startWorker } from '../../services/worker/worker.ts';
import { systemClock } from '../../shared/base/basics.ts';
import { openMetrics } from '../../shared/base/metrics.ts';
import type { Role } from '../../shared/base/role.ts';
import { openStoring } from '../../shared/base/storage-faults.ts';
import type { Config } from '../../shared/setup/load-config.ts';
import { startFakeCa } from '../bench/fake-ca.ts';
import { loadText } from '../shared/setup/load-text.ts';
import { quietLog } from '../support/quiet-log.ts';
import { tempDir } from '../support/temp-dir.ts';
import { tlsAuthority } from '../support/tls-authority.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startOwnRedis } from './own-redis.ts';

const reloads = 200;

/** How much of what keeps the event loop busy there is, by kind. */
const countHandles = () => {
  const counted: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) counted[kind] = (counted[kind] ?? 0) + 1;
  return counted;
};

test(`${reloads} reloads leave no watch, timer, socket or listener behind, in any role`, async () => {
  await using stack = new AsyncDisposableStack();
  const { url, newStore } = await startOwnRedis();
  const { path } = stack.use(await tempDir());
  const { certFile, keyFile } = await tlsAuthority();
  const ca = stack.use(await startFakeCa({ chainOf: () => '' }));
  const ini = (version: number) => `[account]
acme-server = ${ca.directoryUrl}
ca-file = ${ca.caFile}
accept-terms-of-service = yes
dir = ${join(path, 'account')}
[mgmt]
listener = 127.0.0.1:0
tls-cert = ${certFile}
tls-key = ${keyFile}
${version === 1 ? '' : `client-ca = ${ca.caFile}`}
wait = ${version}
secret-file = ${join(path, 'secret')}
[redis]
url = ${url}
prefix = ${newStore().prefix}
[verification "web"]
type = http01
listener = 127.0.0.1:0
[verification "names"]
type = dns01-server
listener = 127.0.0.1:0
zone = ${version}.example
rate-limit = off
[verification "update"]
type = rfc2136
timeout = ${version}
[verification "run"]
type = program
challenge = http-01
command = /bin/true
timeout = ${version}
[storage "disk"]
type = file
directory = ${join(path, 'storage')}
[storage "memory"]
type = redis
[acme]
url = https://quarry.example.org/${version}
[limits]
orders = ${version}00/3h
[notify "ops"]
command = /bin/true
on = ${version === 1 ? 'expires-soon' : 'renewal-failed'}
[renewal "web"]
shaman-profile = ${path}
account = default
verification = ${version === 1 ? 'web' : 'update'}
schedule = 0 0 1 1 *
[auth "a"]
all = yes
domain = *.${version}.example
verification = web, names, update, run
storage = disk
slots = ${version}
rate = ${version}/1m
[auth "b"]
all = yes
domain = *.b.example
storage = memory
`;
  const configs = [await loadText(ini(1)), await loadText(ini(2))] as [Config, Config];
  const warnings: Error[] = [];
  const warn = (warning: Error) => warnings.push(warning);
  process.on('warning', warn);
  stack.defer(() => void process.off('warning', warn));

  const [clock, log, metrics] = [systemClock, quietLog, openMetrics()];
  const storing = openStoring({ clock, log });
  const parts = { redisAddress: { url }, clock, log, metrics, storing };
  const [first, second] = configs;
  const roles: Role<Config>[] = [
    stack.use(await startResponder(first, parts)),
    stack.use(startWorker(first, parts)),
    stack.use(startScheduler(first, parts)),
    stack.use(await startIntake(first, parts)),
  ];
  await waitUntil('all roles to be ready', () => roles.every(role => role.notReady() === undefined));

  async function reload(times: number): Promise<void> {
    for (let time = 0; time < times; time++) {
      const takes = await Promise.all(roles.map(role => role.prepare?.(time % 2 === 0 ? second : first)));
      for (const take of takes) take?.();
    }
  }
  const settled = async () => {
    const seen: Record<string, number>[] = [];
    for (let look = 0; look < 20; look++) {
      await clock.sleep(25);
      seen.push(countHandles());
    }
    const kinds = new Set(seen.flatMap(Object.keys));
    return new Map([...kinds].map(kind => [kind, Math.min(...seen.map(one => one[kind] ?? 0))]));
  };

  await reload(10);
  const before = await settled();
  await reload(reloads);
  const after = await settled();
  for (const [kind, count] of after) {
    const was = before.get(kind) ?? 0;
    assert.ok(count <= was + 1, `${kind}: ${was} before, ${count} after`);
  }
  assert.deepEqual(warnings, []);
});
