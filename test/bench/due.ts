import { openRedis } from '../../shared/base/open-redis.ts';
import { type ExpiryIndex, openExpiryIndex } from '../../shared/renewal/expiry-index.ts';
import {
  type ManagedCertificate,
  openRenewalIndex,
  type RenewalIndex,
} from '../../shared/renewal/renewal-index.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import type { Figures, Tell } from './benchmark.ts';
import { percentile } from './statistics.ts';

export const certificates = 100_000;
const dueAtOnce = 500;
const passes = 50;
const listings = 5;
const day = 24 * 3_600_000;
const now = Date.parse('2026-11-25T00:00:00Z');

/**
 * 100,000 certificates in the index, 500 of which are due: how fast a scheduler finds and reads these, beside
 * reading all to find the same ones. And how fast it finds 500 that have expired among 100,000.
 */
export async function benchDue(tell: Tell): Promise<Figures> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startRedis());
  const redis = stack.adopt(openRedis({ url: server.url }, 'patient', quietLog), redis => redis.disconnect());
  const [index, expiry] = [
    openRenewalIndex({ redis, prefix: '{quarry}' }),
    openExpiryIndex({ redis, prefix: '{quarry}' }),
  ];
  const memory = async () => Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1]);
  const before = await memory();
  await fill(index, expiry, tell);
  const bytes = ((await memory()) - before) / certificates;

  const due = await time(passes, async () => (await index.read(await index.due(now, dueAtOnce))).length);
  const ended = await time(passes, async () => (await expiry.ended('files', now, dueAtOnce)).length);
  const listed = await time(listings, async () => {
    let found = 0;
    for await (const part of index.list()) found += part.filter(({ plan }) => plan.at <= now).length;
    return found;
  });
  const [p50, besideP50] = [percentile(due, 0.5), percentile(listed, 0.5)];
  return {
    value: 1_000 / p50,
    unit: `passes/s that find and read ${dueAtOnce} due certificates of ${certificates}`,
    beside: 'reading all of them to find the same',
    besideValue: 1_000 / besideP50,
    ...{ p50, p99: percentile(due, 0.99), besideP50, besideP99: percentile(listed, 0.99) },
    expiredP50: percentile(ended, 0.5),
    bytesPerCertificate: bytes,
    note: `${Math.round(bytes)} bytes of Redis a certificate, both indexes; ${dueAtOnce} expired ones are found in ${percentile(ended, 0.5).toFixed(1)} ms`,
  };
}

/** So many certificates in both indexes. */
export async function fill(index: RenewalIndex, expiry: ExpiryIndex, tell: Tell): Promise<void> {
  const batch = 1_000;
  const startedAt = performance.now();
  for (let from = 0; from < certificates; from += batch) {
    await Promise.all(
      Array.from({ length: batch }, async (_, offset) => {
        const managed = toManaged(from + offset);
        await index.add(managed, managed.plan.at);
        await expiry.note(
          'files',
          managed.id.slice(-96),
          from + offset < dueAtOnce ? now - day : managed.notAfter,
        );
      }),
    );
  }
  tell(
    `${Math.round((certificates * 1_000) / (performance.now() - startedAt))} certificates indexed a second`,
  );
}

function toManaged(number: number): ManagedCertificate {
  const digest = `${number}`.padStart(96, '0');
  const at = number < dueAtOnce ? now - number : now + (number % 60) * day + 1;
  return {
    ...{
      id: `stored/files/${digest}`,
      certificate: `aYhba4dGQEHhs3uEe6CuLN4ByNQ.${digest.slice(0, 24)}`,
      named: true,
    },
    ...{ names: [`host-${number}.example`], notBefore: at - 60 * day, notAfter: at + 30 * day },
    ...{ info: { start: at - day, end: at + day }, poll: at, pollFailures: 0, renews: true },
    ...{ ahead: true, looked: true },
    plan: { at, first: at, why: 'the CA suggests 2026-11-24T00:00Z to 2026-11-26T00:00Z' },
  };
}

/** The milliseconds that each round takes; each has to find the same. */
async function time(rounds: number, find: () => Promise<number>): Promise<number[]> {
  const times: number[] = [];
  while (times.length < rounds) {
    const startedAt = performance.now();
    const found = await find();
    times.push(performance.now() - startedAt);
    if (found !== dueAtOnce) throw new Error(`${found} were found in place of ${dueAtOnce}`);
  }
  return times;
}
