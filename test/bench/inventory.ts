import { openRedis } from '../../shared/base/open-redis.ts';
import type { Store } from '../../shared/base/redis.ts';
import { toEntry } from '../../shared/inventory/entry.ts';
import { type Inventory, openInventory, type Wanted } from '../../shared/inventory/inventory.ts';
import { openInventoryWriter } from '../../shared/inventory/writer.ts';
import { nameOf, openLeafMaker } from '../support/made-leaves.ts';
import { quietLog } from '../support/quiet-log.ts';
import { startRedis } from '../support/redis.ts';
import type { Figures, Tell } from './benchmark.ts';
import { prefix } from './ground.ts';
import { percentile } from './statistics.ts';

const certificates = 100_000;
const batch = 500;
const perPage = 100;
const rounds = 50;
const aimMs = 50;
const blocks = 20;

/**
 * 100,000 certificates in the inventory: the bytes that each takes in Redis, and the time for a page of 100,
 * from the beginning, from the middle, of a block, of a domain, and of a glob that has every line looked at.
 */
export async function benchInventory(tell: Tell): Promise<Figures> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startRedis());
  const redis = stack.adopt(openRedis({ url: server.url }, 'patient', quietLog), redis => redis.disconnect());
  const memory = async () => Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1]);
  const before = await memory();
  await fill({ redis, prefix }, tell);
  const bytes = Math.round(((await memory()) - before) / certificates);

  const inventory = openInventory({ redis, prefix });
  const middle = await inventory.page({ glob: `*${nameOf(certificates / 2).slice(5)}` }, 1);
  const times = {
    first: await time(inventory, {}),
    middle: await time(inventory, {}, middle.next),
    block: await time(inventory, { block: 'block-7' }),
    domain: await time(inventory, { glob: '*.example.org' }),
    rare: await time(inventory, { glob: 'host-00999*' }),
  };
  await redis.config('RESETSTAT');
  await inventory.page({ glob: 'host-00999*' }, perPage);
  const stats = /^cmdstat_zrangebylex:calls=(\d+),usec=(\d+)/m.exec(await redis.info('commandstats'));
  const blocked = Math.round(Number(stats?.[2]) / Number(stats?.[1]));
  const p50 = Object.entries(times).map(([name, all]) => `${name} ${percentile(all, 0.5).toFixed(1)}`);
  return {
    value: percentile(times.middle, 0.5),
    unit: `ms for a page of ${perPage} of ${certificates} certificates`,
    beside: 'the aim',
    besideValue: aimMs,
    p50: percentile(times.middle, 0.5),
    p99: percentile(times.middle, 0.99),
    bytesPerCertificate: bytes,
    note: `${bytes} bytes of Redis a certificate; ms a page: ${p50.join(', ')}; ${blocked} µs a look`,
  };
}

async function fill(store: Store, tell: Tell): Promise<void> {
  const leaves = openLeafMaker();
  const writer = openInventoryWriter(store, error => {
    throw error;
  });
  const startedAt = performance.now();
  const at = Date.now();
  for (let from = 0; from < certificates; from += batch) {
    const numbers = Array.from({ length: batch }, (_, offset) => from + offset);
    const entries = numbers.map(number =>
      toEntry(leaves.make(number), { how: 'post', block: `block-${number % blocks}`, account: 'default' }),
    );
    await writer.add(entries.map(entry => ({ entry, at })));
    const note = { at, by: 'hmac', client: '192.0.2.71' };
    await writer.note(
      'fetched',
      entries.map(({ id }) => ({ id, note })),
    );
  }
  const perSecond = (certificates * 1_000) / (performance.now() - startedAt);
  tell(`${Math.round(perSecond)} certificates inventoried a second`);
}

/** The milliseconds that each page takes; each has to be full. */
async function time(inventory: Inventory, wanted: Wanted, after?: string): Promise<number[]> {
  const times: number[] = [];
  while (times.length < rounds) {
    const startedAt = performance.now();
    const page = await inventory.page(wanted, perPage, after);
    times.push(performance.now() - startedAt);
    if (page.certificates.length !== perPage) throw new Error(`${page.certificates.length} were in a page`);
  }
  return times;
}
