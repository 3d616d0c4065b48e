import { freePorts } from '../support/free-port.ts';
import { type Pebble, startPebble } from '../support/pebble.ts';
import { type Redis, startRedis } from '../support/redis.ts';
import { tempDir } from '../support/temp-dir.ts';

/** One way to get certificates from a Pebble of its own. */
export type Signer = AsyncDisposable & {
  pebble: Pebble;
  /** Gets a certificate for the name that the CSR (PEM) is for. */
  sign(name: string, csr: string): Promise<void>;
};

/** Of Quarry's keys in Redis. */
export const prefix = '{quarry}';

const day = 86_400;

export type Ground = {
  redis: Redis;
  pebble: Pebble;
  /** For every role. */
  ini: string;
  intakePort: number;
};

/** What every way stands on: a new Redis and a new Pebble; `concurrency` is the worker's. */
export async function startGround(stack: AsyncDisposableStack, concurrency: number): Promise<Ground> {
  const { path: dir } = stack.use(await tempDir());
  const [intakePort, responderPort] = (await freePorts(2)) as [number, number];
  const redis = stack.use(await startRedis());
  // One certificate profile, as Pebble would take one by chance.
  const profiles = { default: { description: 'the only one', validityPeriod: 90 * day } };
  const pebble = stack.use(await startPebble({ httpPort: responderPort, profiles }));
  const ini = configuration({ dir, intakePort, responderPort, concurrency, redisUrl: redis.url, ...pebble });
  return { redis, pebble, ini, intakePort };
}

type Setting = {
  dir: string;
  intakePort: number;
  responderPort: number;
  concurrency: number;
  redisUrl: string;
  directoryUrl: string;
  caFile: string;
};

function configuration(setting: Setting): string {
  return `[account]
acme-server = ${setting.directoryUrl}
ca-file = ${setting.caFile}
accept-terms-of-service = yes
dir = ${setting.dir}/account

[mgmt]
listener = 127.0.0.1:${setting.intakePort}

[verification "http"]
type = http01
listener = 127.0.0.1:${setting.responderPort}

[storage "none"]
type = none

[auth "all"]
all = yes
domain = *
verification = http
storage = none

[worker]
concurrency = ${setting.concurrency}

[redis]
url = ${setting.redisUrl}
prefix = ${prefix}
`;
}
