import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts';
import { freePorts } from '../support/free-port.ts';
import { type Pebble, startPebble } from '../support/pebble.ts';
import { type Redis, startRedis } from '../support/redis.ts';
import { tempDir } from '../support/temp-dir.ts';
import { chainsLike, makeCertificate } from './certificate.ts';
import { startFakeCa } from './fake-ca.ts';
import { firstName } from './named-csrs.ts';

/** Of Quarry's keys in Redis. */
export const prefix = '{quarry}';
/** The `[verification]` of the configuration. */
export const solverName = 'http';
/** The `[storage]` of one that keeps certificates. */
export const keptStorage = 'kept';

const day = 86_400;

/** What every way to certificates stands on. */
export type Ground = {
  redis: Redis;
  /** The CA as its clients see it. */
  ca: { directoryUrl: string; caFile: string };
  /** Of the CA; none where it is in this process. */
  caPids: number[];
  /** The private key that CSRs must have here, as PEM; any where it is absent. */
  keyPem?: string;
  /** For every role, also as a file. */
  ini: string;
  iniFile: string;
  intakePort: number;
};

/** `concurrency` is a worker's. */
export type StartGround = (stack: AsyncDisposableStack, concurrency: number) => Promise<Ground>;

/** A new Redis and a new Pebble. */
export const startGround: StartGround = (stack, concurrency) =>
  prepare(stack, { concurrency }, async port => {
    const pebble = stack.use(await startOneProfilePebble(port));
    return { ca: pebble, caPids: [pebble.pid] };
  });

/** The same, with a proxy before Pebble that counts the requests or slows them down. */
export async function startProxiedGround(
  stack: AsyncDisposableStack,
  concurrency: number,
): Promise<Ground & { proxy: FaultProxy }> {
  const started = Promise.withResolvers<FaultProxy>();
  const ground = await prepare(stack, { concurrency }, async port => {
    const pebble = stack.use(await startOneProfilePebble(port));
    const proxy = stack.use(await startFaultProxy(pebble));
    started.resolve(proxy);
    return { ca: proxy, caPids: [pebble.pid] };
  });
  return { ...ground, proxy: await started.promise };
}

/**
 * A new Redis, and a CA that answers at once and costs next to nothing.
 *
 * @param keeps whether it is as it may be in earnest: certificates are kept in Redis and renewed ahead, the
 *   CA's limits are counted, and Redis keeps an append-only file
 */
export const fakeGround =
  (keeps: boolean): StartGround =>
  async (stack, concurrency) => {
    const { path: dir } = stack.use(await tempDir());
    const { chain, keyPem } = await makeCertificate(dir, [firstName]);
    const ground = await prepare(stack, { concurrency, keeps }, async fetchFrom => {
      const ca = stack.use(await startFakeCa({ chainOf: chainsLike(chain, firstName), fetchFrom }));
      return { ca, caPids: [] };
    });
    return { ...ground, keyPem };
  };

/** One certificate profile, as Pebble would take one by chance. */
function startOneProfilePebble(httpPort: number): Promise<Pebble> {
  const profiles = { default: { description: 'the only one', validityPeriod: 90 * day } };
  return startPebble({ httpPort, profiles });
}

async function prepare(
  stack: AsyncDisposableStack,
  { concurrency, keeps = false }: { concurrency: number; keeps?: boolean },
  startCa: (responderPort: number) => Promise<Pick<Ground, 'ca' | 'caPids'>>,
): Promise<Ground> {
  const { path: dir } = stack.use(await tempDir());
  const [intakePort, responderPort] = (await freePorts(2)) as [number, number];
  const redis = stack.use(await startRedis({ appendonly: keeps }));
  const { ca, caPids } = await startCa(responderPort);
  const { directoryUrl, caFile } = ca;
  const ports = { intakePort, responderPort };
  const ini = configuration({ dir, ...ports, concurrency, redisUrl: redis.url, directoryUrl, caFile, keeps });
  const iniFile = join(dir, 'main.ini');
  await writeFile(iniFile, ini);
  return { redis, ca: { directoryUrl, caFile }, caPids, ini, iniFile, intakePort };
}

export type Setting = {
  dir: string;
  intakePort: number;
  responderPort: number;
  concurrency: number;
  redisUrl: string;
  directoryUrl: string;
  caFile: string;
  /** Whether certificates are kept in Redis and renewed ahead, and limits counted; no by default. */
  keeps?: boolean;
};

const keptAndCounted = `[storage "${keptStorage}"]
type = redis
renew-ahead = yes

[limits]
orders = 100000/3h
certificates-per-domain = 100000/7d
certificates-per-set = 5/7d
failed-authorizations = 5/1h
`;

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

${setting.keeps ? keptAndCounted : '[storage "none"]\ntype = none\n'}
[auth "all"]
all = yes
domain = *
verification = ${solverName}
storage = ${setting.keeps ? keptStorage : 'none'}

[worker]
concurrency = ${setting.concurrency}

[redis]
url = ${setting.redisUrl}
prefix = ${prefix}
`;
}
