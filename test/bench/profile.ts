import { type Inspector, inspectable, openInspector } from '../support/inspector.ts';
import type { Product, Tell } from './benchmark.ts';
import type { ClientsReport } from './clients.ts';
import { cpuSeconds } from './process-figures.ts';
import { type CpuProfile, groupByArea, scaleTo } from './profile-areas.ts';
import { openQuarryWay } from './quarry-way.ts';
import { takeSideBySide } from './side-by-side.ts';
import type { OpenWay } from './signer.ts';
import { type Plan, runPlan, untilCaHolds } from './trials.ts';

const samplingMicroseconds = 1_000;

/** Milliseconds of CPU an order, by area of a role. */
export type AreaTimes = Map<string, number>;

/** What HTTP is to a role. */
const http: Record<string, string> = { worker: 'HTTPS to the CA', intake: 'HTTP and Koa' };

/**
 * Where the CPU time of an order goes, of each tree: shares as V8's profiler sees them, of the time that the
 * kernel counts for each role; and Redis. The trees are measured in turn. A profiler costs something itself,
 * of which the areas have their share.
 */
export async function profileOrders<Side extends string>(
  plan: Plan,
  trees: Record<Side, Product>,
  tell: Tell,
): Promise<Record<Side, AreaTimes>> {
  const sides = Object.keys(trees) as Side[];
  return await untilCaHolds(async () => {
    const profilers = mapSides(sides, side => openProfiler(trees[side]));
    const runs = mapSides(sides, side =>
      runPlan({ ...plan, counted: 0 }, profilers[side].open, profilers[side].watch),
    );
    const trials = await takeSideBySide(runs);
    tell(`${trials.length} trials are done`);
    return mapSides(sides, side => profilers[side].times());
  }, tell);
}

const mapSides = <Side extends string, Value>(sides: readonly Side[], map: (side: Side) => Value) =>
  Object.fromEntries(sides.map(side => [side, map(side)])) as Record<Side, Value>;

type Profiler = {
  open: OpenWay;
  watch(work: () => Promise<ClientsReport>): Promise<ClientsReport>;
  times(): AreaTimes;
};

function openProfiler({ root }: Product): Profiler {
  const profiled: { role: string; pid: number; inspector: Inspector }[] = [];
  const seconds: AreaTimes = new Map();
  const add = (area: string, value: number) => seconds.set(area, (seconds.get(area) ?? 0) + value);
  let redisPid = 0;
  let orders = 0;

  const look = () => Promise.all([redisPid, ...profiled.map(({ pid }) => pid)].map(cpuSeconds));

  return {
    async open(stack, ground) {
      redisPid = ground.redis.pid;
      const way = await openQuarryWay(stack, ground, { root, nodeArgs: inspectable });
      for (const { role, running } of way.roles) {
        const inspector = stack.adopt(await openInspector(running), inspector => inspector.close());
        profiled.push({ role, pid: running.pid, inspector });
      }
      return way;
    },
    async watch(work) {
      for (const { inspector } of profiled) await startProfiler(inspector);
      const before = await look();
      const report = await work();
      const [redis = 0, ...roles] = (await look()).map((now, index) => now - (before[index] ?? 0));
      orders += report.latencies.length;
      add('Redis', redis);
      for (const [index, { role, inspector }] of profiled.entries()) {
        const { profile } = (await inspector.send('Profiler.stop')) as { profile: CpuProfile };
        for (const [area, value] of scaleTo(roles[index] ?? 0, groupByArea(profile)))
          add(role === 'responder' ? role : `${role}: ${area === 'HTTP' ? http[role] : area}`, value);
      }
      return report;
    },
    times: () => new Map([...seconds].map(([area, value]) => [area, (value * 1000) / orders])),
  };
}

async function startProfiler(inspector: Inspector): Promise<void> {
  await inspector.send('Profiler.enable');
  await inspector.send('Profiler.setSamplingInterval', { interval: samplingMicroseconds });
  await inspector.send('Profiler.start');
}

/** A line for each area, the most expensive first, and their sum. */
export function toProfileTable(name: string, sides: Record<string, AreaTimes>): string {
  const titles = Object.keys(sides);
  const areas = new Set(Object.values(sides).flatMap(times => [...times.keys()]));
  const rows = [...areas]
    .map(area => ({ area, times: titles.map(title => sides[title]?.get(area) ?? 0) }))
    .sort((one, other) => Math.max(...other.times) - Math.max(...one.times));
  const sums = titles.map((_, index) => rows.reduce((sum, { times }) => sum + (times[index] ?? 0), 0));
  const lines = [...rows, { area: 'together', times: sums }].map(({ area, times }) => ({
    area,
    cells: times.map(time => time.toFixed(2)),
  }));
  const width = Math.max(...lines.map(({ area }) => area.length), name.length);
  const format = (first: string, cells: readonly string[]) =>
    [
      first.padEnd(width),
      ...cells.map((cell, index) => cell.padStart(Math.max(titles[index]?.length ?? 0, 4))),
    ].join('  ');
  return [
    format(name, titles),
    ...lines.map(({ area, cells }) => format(area, cells)),
    '',
    'milliseconds of CPU an order',
    '',
  ].join('\n');
}
