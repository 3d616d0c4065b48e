import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startWorker } from '../../services/worker/worker.ts';
import { openSeals } from '../../shared/admission/hmac.ts';
import { systemClock } from '../../shared/base/basics.ts';
import { openSecret } from '../../shared/base/installation.ts';
import { openMetrics } from '../../shared/base/metrics.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import type { Store } from '../../shared/base/redis.ts';
import { openStoring } from '../../shared/base/storage-faults.ts';
import { encodePem } from '../../shared/pki/certificate.ts';
import { readCsr } from '../../shared/pki/csr.ts';
import { openSignQueue } from '../../shared/queue/sign-queue.ts';
import type { SignResult } from '../../shared/queue/sign-records.ts';
import { loadConfig } from '../../shared/setup/load-config.ts';
import { trailKey } from '../../shared/trail/trail.ts';
import { chainsLike, makeCertificate } from '../bench/certificate.ts';
import { type FakeCa, startFakeCa } from '../bench/fake-ca.ts';
import { configuration, keptStorage, solverName } from '../bench/ground.ts';
import { firstName, makeCsrs, type NamedCsr } from '../bench/named-csrs.ts';
import { keptLog } from '../support/kept-log.ts';
import { quietLog } from '../support/quiet-log.ts';
import { type Redis, startRedis } from '../support/redis.ts';
import { type Refusal, type SentCommand, startRedisProxy } from '../support/redis-proxy.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

// Orders of workers whose Redis refuses one command in the middle.

/** What one order came to. */
export type Outcome = {
  result: SignResult | undefined;
  /** How many orders were made at the CA. */
  ordered: number;
  /** The events of the trail, in order. */
  events: string[];
  /** What is left of the job in BullMQ. */
  left: string[];
  /** Lines of the log above `info`. */
  log: string[];
  /** The commands that the worker has sent for the order, those that were refused as well. */
  commands: SentCommand[];
};

/** @param at counts from 0. @param own a connection that is not refused anything */
type Refuse = (at: number, command: SentCommand, own: Store['redis']) => Refusal | undefined;

export type Orders = {
  /**
   * Has an order driven by a worker of its own, in a name space of its own.
   *
   * @param refuse asked of each command of the order
   */
  drive(refuse?: Refuse): Promise<Outcome>;
};

/** A Redis and a CA that answers at once; certificates are kept in Redis, and limits counted. */
export async function openOrders(stack: AsyncDisposableStack, most: number): Promise<Orders> {
  const { path: dir } = stack.use(await tempDir());
  const { chain, keyPem } = await makeCertificate(dir, [firstName]);
  const redis = stack.use(await startRedis());
  const ca = stack.use(await startFakeCa({ chainOf: chainsLike(chain, firstName) }));
  const csrs = await makeCsrs(most, 1, keyPem);
  const ground = { dir, redis, ca };
  let driven = 0;
  return {
    async drive(refuse = () => undefined) {
      const number = driven++;
      const csr = csrs[number];
      if (!csr) throw new Error('there are no more CSRs');
      return driveOne(ground, { number, csr }, refuse);
    },
  };
}

/** What goes on whether there is an order or not. */
const background = new Set(['ping', 'time', 'client', 'info', 'hello', 'bzpopmin', 'subscribe']);

async function driveOne(
  { dir, redis, ca }: { dir: string; redis: Redis; ca: FakeCa },
  { number, csr: { names, csr } }: { number: number; csr: NamedCsr },
  refuse: Refuse,
): Promise<Outcome> {
  await using stack = new AsyncDisposableStack();
  const prefix = `{order-${number}}`;
  const proxy = stack.use(await startRedisProxy(redis.port));
  const setting = { ...ca, dir, intakePort: 1, responderPort: 1, concurrency: 1, redisUrl: proxy.url };
  const file = join(dir, `${number}.ini`);
  await writeFile(
    file,
    configuration({ ...setting, keeps: true }).replace(/^prefix = .*$/m, `prefix = ${prefix}`),
  );
  const config = await loadConfig([file], {});
  const { log, lines } = keptLog();
  const metrics = openMetrics();
  const storing = openStoring({ clock: systemClock, log, metrics, pool: undefined });
  const parts = { redisAddress: { url: proxy.url }, clock: systemClock, log, metrics, storing };
  const worker = stack.use(startWorker(config, parts));
  await waitUntil('the worker to be ready', () => worker.notReady() === undefined);

  const own = stack.adopt(openRedis({ url: redis.url }, 'patient', quietLog), closeRedis);
  const store = { redis: own, prefix };
  const seals = openSeals(await openSecret(config.secretFile, quietLog));
  const queueParts = { redisAddress: { url: redis.url }, seals, clock: systemClock, log: quietLog };
  const queue = stack.use(openSignQueue({ store, ...queueParts }));
  const commands: SentCommand[] = [];
  proxy.refuse = command => {
    const isOfOrder = !background.has(command.name) && !command.words.includes(`${prefix}:look`);
    return isOfOrder ? refuse(commands.push(command) - 1, command, own) : undefined;
  };
  const before = ca.ordered().length;
  const id = await queue.enqueue({
    csr: encodePem('CERTIFICATE REQUEST', readCsr(Buffer.from(csr)).der),
    identifiers: names.map(value => ({ type: 'dns', value })),
    accounts: [{ account: 'default' }],
    ...{ solvers: [solverName], storage: keptStorage, block: 'all', requestId: 'request', patience: 60_000 },
  });
  const result = await queue.result(id, new AbortController().signal);
  await waitUntil('the job to be over', async () => (await own.exists(`${prefix}:sign:${id}`)) === 0);
  const sets = ['active', 'wait', 'delayed', 'prioritized', 'failed'].map(set => `${prefix}:sign:${set}`);
  const trail = await own.xrange(trailKey(prefix), '-', '+');
  return {
    result,
    ordered: ca
      .ordered()
      .slice(before)
      .filter(name => name === names[0]).length,
    events: trail.flatMap(([, fields]) => readEvents(fields)),
    left: (await Promise.all(sets.map(async set => ((await own.exists(set)) ? [set] : [])))).flat(),
    log: lines.filter(({ level = 0 }) => Number(level) > 30).map(({ msg }) => `${msg}`),
    commands,
  };
}

const readEvents = (fields: string[]): string[] =>
  fields.flatMap((field, at) => (fields[at - 1] === 'event' ? [`${JSON.parse(field).event}`] : []));
