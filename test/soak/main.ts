import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { describeError } from '../../shared/base/errors.ts';
import { accountSecrets, findLeaks } from '../support/fleet.ts';
import { accountForCas, type SeenCa } from './ca-account.ts';
import { type HitRecord, performHits, planHits } from './hits.ts';
import { findLeftOver } from './left-over.ts';
import { planPosts } from './plan-posts.ts';
import { accountForPosts } from './post-account.ts';
import { type Posts, startPosts } from './posts.ts';
import { seededRandom } from './random.ts';
import { readLogs } from './read-logs.ts';
import { type Account, check, toFigures, toLines } from './report.ts';
import { type SoakCa, type System, startSystem } from './system.ts';

// `npm run soak [-- --minutes N] [--seed S] [--sentinel] [--logs DIR]`: posts come and processes go for N
// minutes (2 by default), then everything gets time to come to rest, and every post is accounted for. The
// seed makes the plan of posts and hits, not what comes of it. It ends with one line, `N passed, N failed`,
// and with 1 when something failed. The logs stay then, or when they have got a folder.

/** When nothing is hit any more, no more than this is needed; on a machine that is very busy. */
const drainMs = 70_000;
/** The faults end before the posts do. */
const calmMs = 5_000;

const print = (text: string) => void process.stdout.write(`${text}\n`);

type Options = { minutes: number; seed: number; sentinel: boolean; logDir: string };

async function readOptions(): Promise<Options & { keepLogs: boolean }> {
  const text = { type: 'string' } as const;
  const sentinel = { type: 'boolean', default: false } as const;
  const { values } = parseArgs({ options: { minutes: text, seed: text, sentinel, logs: text } });
  const [minutes, seed] = [Number(values.minutes ?? 2), Number(values.seed ?? 1)];
  if (!(minutes >= 0.5) || !Number.isInteger(seed))
    throw new Error('--minutes N (0.5 at least), --seed S (an integer), --sentinel');
  const logDir = values.logs ? resolve(values.logs) : await mkdtemp(join(tmpdir(), `quarry-soak-${seed}-`));
  await mkdir(logDir, { recursive: true });
  return { minutes, seed, sentinel: values.sentinel, logDir, keepLogs: values.logs !== undefined };
}

async function soak({ minutes, seed, sentinel, logDir }: Options): Promise<Account> {
  const duration = minutes * 60_000;
  const posts = planPosts(seededRandom(seed), duration);
  const hits = planHits(seededRandom(seed + 1_000_003), duration - calmMs);
  print(
    `soak: seed ${seed}, ${minutes} minutes, ${posts.posts.length} posts, ${hits.length} hits; logs in ${logDir}`,
  );
  await using system = await startSystem(logDir, sentinel);
  const began = performance.now();
  const tell = (text: string) =>
    print(`${((performance.now() - began) / 1000).toFixed(1).padStart(7)} s  ${text}`);

  tell('everything is ready, posts begin');
  const running = startPosts(posts, system.intakes);
  const hitting = performHits(hits, system, tell);
  const [hitRecords] = await Promise.all([hitting, running.sent]);
  tell(`the last post is sent, ${posts.posts.length - running.records.length} wait`);
  const account = await settle(system, running, hitRecords);
  tell('everything has come to rest');
  return { ...account, ...(await afterEnd(system, logDir, running)) };
}

/** Waits for what is still on its way, while everything runs. */
async function settle(
  system: System,
  posts: Posts,
  hits: HitRecord[],
): Promise<Omit<Account, 'logs' | 'leaks' | 'crashes' | 'uncleanStops'>> {
  const end = performance.now() + drainMs;
  await posts.drain(drainMs);
  const rest = () => Math.max(5_000, end - performance.now());
  const left = await findLeftOver(await system.redis.port(), rest());
  const ready = await Promise.allSettled(system.members.map(member => member.untilReady(rest())));
  const outages = hits.filter(({ hit }) => hit.kind === 'Redis is killed');
  const named = system.cas.map(async ({ name, roots }) => [name, await roots()] as const);
  const roots = new Map(await Promise.all(named));
  return {
    posts: accountForPosts(posts.records, { csrs: posts.csrs, roots, outages }),
    ca: accountForCas(system.cas.map((ca, index) => seen(ca, index === 0 ? hits : []))),
    left,
    hits,
    notReady: ready.flatMap(one => (one.status === 'rejected' ? [describeError(one.reason)] : [])),
  };
}

/** @param hits of this CA */
function seen({ proxy }: SoakCa, hits: HitRecord[]): SeenCa {
  const kills = hits.filter(({ hit }) => hit.kind === 'the CA is killed');
  return { requests: proxy.requests(), kills: kills.map(({ from }) => performance.timeOrigin + from) };
}

/** What can be told only when all processes have ended, which belongs to the soak: they end cleanly. */
async function afterEnd(
  { members, cas }: System,
  logDir: string,
  { records }: Posts,
): Promise<Pick<Account, 'logs' | 'leaks' | 'crashes' | 'uncleanStops'>> {
  await Promise.all(members.map(member => member[Symbol.asyncDispose]()));
  for (const { name, pebble } of cas) await writeFile(join(logDir, `pebble-${name}.txt`), pebble.output());
  await writeFile(join(logDir, 'posts.json'), records.map(record => `${JSON.stringify(record)}\n`).join(''));
  const logs = await readLogs(logDir);
  const faults = members.map(member => member.faults);
  return {
    logs,
    leaks: findLeaks(
      logs.text,
      cas.flatMap(({ accountDir }) => accountSecrets(join(accountDir, 'account.pem'))),
    ),
    crashes: faults.flatMap(({ crashes }) => crashes),
    uncleanStops: faults.flatMap(({ uncleanStops }) => uncleanStops),
  };
}

/** @returns the exit code */
async function main(): Promise<number> {
  const options = await readOptions();
  const account = await soak(options);
  const checks = check(account);
  const failed = checks.filter(({ faults }) => faults.length > 0).length;
  print(`\n${toFigures(account)}\n\n${checks.map(toLines).join('\n')}\n`);
  if (failed > 0) print(`seed ${options.seed}; the logs are in ${options.logDir}`);
  else if (!options.keepLogs) await rm(options.logDir, { recursive: true, force: true });
  print(`${checks.length - failed} passed, ${failed} failed`);
  return failed > 0 ? 1 : 0;
}

// An exit, unlike a signal, ends all processes and removes their folders (test/support/processes.ts).
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130));
try {
  process.exit(await main());
} catch (error) {
  process.stderr.write(`soak: ${describeError(error)}\n`);
  process.exit(1);
}
