import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openRedis } from '../../shared/base/open-redis.ts';
import { openExpiryIndex } from '../../shared/renewal/expiry-index.ts';
import { openRenewalIndex } from '../../shared/renewal/renewal-index.ts';
import { quarryProgram } from '../support/quarry.ts';
import { quietLog } from '../support/quiet-log.ts';
import type { Benchmark, Subject } from './benchmark.ts';
import { certificates, fill } from './due.ts';
import { fakeGround, prefix } from './ground.ts';
import { takeSamples } from './samples.ts';
import { median, percentile } from './statistics.ts';

const run = promisify(execFile);
const listings = 5;
const aimMegabytes = 120;
const figures = { megabytes: 'MB at most', cpuMs: 'ms CPU', ms: 'ms' };

/** `quarry renewals`, as a process, again and again. */
const subject: Subject = async function* ({ root }, tell) {
  await using stack = new AsyncDisposableStack();
  const { redis: server, iniFile } = await fakeGround(true)(stack, 1);
  const redis = stack.adopt(openRedis({ url: server.url }, 'patient', quietLog), redis => redis.disconnect());
  await fill(openRenewalIndex({ redis, prefix }), openExpiryIndex({ redis, prefix }), tell);
  const args = ['--import', join(import.meta.dirname, 'report-usage.mjs'), quarryProgram(root)];
  for (let listing = 0; listing < listings; listing++) {
    const startedAt = performance.now();
    const options = { maxBuffer: 1024 ** 3 };
    const { stdout, stderr } = await run(process.execPath, [...args, 'renewals', iniFile], options);
    const ms = performance.now() - startedAt;
    const listed = stdout.split('\n').filter(line => line.startsWith('    renewed ')).length;
    if (listed !== certificates) throw new Error(`${listed} were listed in place of ${certificates}`);
    const { megabytes, cpuMs } = JSON.parse(/^usage (.*)$/m.exec(stderr)?.[1] ?? '');
    yield { figure: figures.megabytes, value: megabytes };
    yield { figure: figures.cpuMs, value: cpuMs };
    yield { figure: figures.ms, value: ms };
  }
};

/** What a list of 100,000 renewals takes. */
export const benchListRenewals: Benchmark = {
  subject,
  async run(tell) {
    const of = await takeSamples(subject, tell);
    const [megabytes, cpuMs, ms] = [of(figures.megabytes), of(figures.cpuMs), of(figures.ms)];
    return {
      value: median(megabytes),
      unit: `MB at most, over ${certificates} renewals`,
      beside: 'the aim; p50 and p99 are of the time that a list takes',
      besideValue: aimMegabytes,
      p50: median(ms),
      p99: percentile(ms, 0.99),
      cpuMilliseconds: median(cpuMs),
      held: { [figures.megabytes]: median(megabytes), [figures.cpuMs]: median(cpuMs) },
      note: `${(median(ms) / 1000).toFixed(1)} s, ${(median(cpuMs) / 1000).toFixed(1)} s of CPU`,
    };
  },
};
