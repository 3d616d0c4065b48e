import { Redis } from 'ioredis';
import { systemClock as clock } from '../../shared/base/basics.ts';
import { openStoring } from '../../shared/base/storage-faults.ts';
import { readCsr } from '../../shared/pki/csr.ts';
import { openExpiryIndex } from '../../shared/renewal/expiry-index.ts';
import { openRedisStorage } from '../../shared/storage/redis.ts';
import { startQuarry } from '../support/quarry.ts';
import { quietLog as log } from '../support/quiet-log.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import type { Benchmark, Subject } from './benchmark.ts';
import { chainsLike, makeCertificate } from './certificate.ts';
import { fakeGround, keptStorage, prefix } from './ground.ts';
import { firstName, makeCsrs } from './named-csrs.ts';
import { totalCpuSeconds } from './process-figures.ts';
import { takeSamples } from './samples.ts';
import { median } from './statistics.ts';

const certificates = 3_000;
const rounds = 3;
const aimMs = 0.2;

const figure = 'ms CPU a certificate';

/**
 * The CPU time of a scheduler and its Redis from the scheduler's start until all is indexed, in a Redis
 * storage that nobody has indexed yet; for each certificate, with what the same takes for a single one taken
 * off.
 */
const subject: Subject = async function* ({ root }, tell) {
  for (let round = 0; round < rounds; round++) {
    const one = await measure(1, root);
    const value = ((await measure(certificates, root)) - one) / (certificates - 1);
    tell(`${value.toFixed(2)} ms CPU a certificate`);
    yield { figure, value };
  }
};

/** In milliseconds of CPU. */
async function measure(count: number, root: string | undefined): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const ground = await fakeGround(true)(stack, 1);
  const redis = stack.adopt(new Redis(ground.redis.url), redis => redis.disconnect());
  await fill(redis, count);
  const before = await totalCpuSeconds([ground.redis.pid]);
  const scheduler = stack.use(await startQuarry('scheduler', ground.ini, { root, ready: 'alive' }));
  const index = openExpiryIndex({ redis, prefix });
  await waitUntil('all to be indexed', async () => (await index.count(keptStorage)) === count);
  return ((await totalCpuSeconds([ground.redis.pid, scheduler.pid])) - before) * 1000;
}

async function fill(redis: Redis, count: number): Promise<void> {
  await using dir = await tempDir();
  const { chain, keyPem } = await makeCertificate(dir.path, [firstName]);
  const keeping = { renewWithin: 14, renewAhead: true, keepExpired: 30 };
  const chainOf = chainsLike(chain, firstName);
  const storage = openRedisStorage(
    { name: keptStorage, ...keeping },
    { store: { redis, prefix }, clock, log, ...openStoring({ clock, log }) },
  );
  const issuedBy = { account: 'default', directory: 'https://127.0.0.1:1/dir' };
  for (const [number, { csr, names }] of (await makeCsrs(count, 1, keyPem)).entries()) {
    await storage.put(readCsr(Buffer.from(csr)), chainOf({ number, name: names[0] ?? '' }), issuedBy);
  }
}

export const benchFirstIndex: Benchmark = {
  subject,
  async run(tell) {
    const value = median((await takeSamples(subject, tell))(figure));
    return {
      ...{ value, unit: figure, beside: 'the aim', besideValue: aimMs, certificates },
      held: { [figure]: value },
    };
  },
};
