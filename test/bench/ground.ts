import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts';
import { freePorts } from '../support/free-port.ts';
import { type Pebble, startPebble } from '../support/pebble.ts';
import { type Redis, startRedis } from '../support/redis.ts';
import { tempDir } from '../support/temp-dir.ts';

/** Of Quarry's keys in Redis. */
export const prefix = '{quarry}';
/** The `[verification]` of the configuration. */
export const solverName = 'http';

const day = 86_400;

/** What every way to certificates stands on. */
export type Ground = {
  redis: Redis;
  pebble: Pebble;
  /** The CA as its clients see it: Pebble, or what stands before it. */
  ca: { directoryUrl: string; caFile: string };
  /** For every role, also as a file. */
  ini: string;
  iniFile: string;
  intakePort: number;
};

/** A new Redis and a new Pebble; `concurrency` is a worker's. */
export async function startGround(stack: AsyncDisposableStack, concurrency: number): Promise<Ground> {
  return await prepare(stack, concurrency, async pebble => pebble);
}

/** The same, with a proxy before Pebble that counts the requests or slows them down. */
export async function startProxiedGround(
  stack: AsyncDisposableStack,
  concurrency: number,
): Promise<Ground & { proxy: FaultProxy }> {
  const started = Promise.withResolvers<FaultProxy>();
  const ground = await prepare(stack, concurrency, async pebble => {
    const proxy = stack.use(await startFaultProxy(pebble));
    started.resolve(proxy);
    return proxy;
  });
  return { ...ground, proxy: await started.promise };
}

async function prepare(
  stack: AsyncDisposableStack,
  concurrency: number,
  openCa: (pebble: Pebble) => Promise<Ground['ca']>,
): Promise<Ground> {
  const { path: dir } = stack.use(await tempDir());
  const [intakePort, responderPort] = (await freePorts(2)) as [number, number];
  const redis = stack.use(await startRedis());
  // One certificate profile, as Pebble would take one by chance.
  const profiles = { default: { description: 'the only one', validityPeriod: 90 * day } };
  const pebble = stack.use(await startPebble({ httpPort: responderPort, profiles }));
  const { directoryUrl, caFile } = await openCa(pebble);
  const setting = { dir, intakePort, responderPort, concurrency, redisUrl: redis.url, directoryUrl, caFile };
  const ini = configuration(setting);
  const iniFile = join(dir, 'main.ini');
  await writeFile(iniFile, ini);
  return { redis, pebble, ca: { directoryUrl, caFile }, ini, iniFile, intakePort };
}

export type Setting = {
  dir: string;
  intakePort: number;
  responderPort: number;
  concurrency: number;
  redisUrl: string;
  directoryUrl: string;
  caFile: string;
};

/**
 * Without the look at one's own challenges: it would measure this machine's DNS, which knows none of the
 * names.
 */
export function configuration(setting: Setting): string {
  return `[account]
acme-server = ${setting.directoryUrl}
ca-file = ${setting.caFile}
accept-terms-of-service = yes
dir = ${setting.dir}/account

[mgmt]
listener = 127.0.0.1:${setting.intakePort}

[verification "${solverName}"]
type = http01
listener = 127.0.0.1:${setting.responderPort}
self-check = off

[storage "none"]
type = none

[auth "all"]
all = yes
domain = *
verification = ${solverName}
storage = none

[worker]
concurrency = ${setting.concurrency}

[redis]
url = ${setting.redisUrl}
prefix = ${prefix}
`;
}
