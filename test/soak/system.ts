import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type ChallengeFront, startChallengeFront } from '../support/challenge-front.ts';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts';
import { freePort } from '../support/free-port.ts';
import { type Pebble, startPebble } from '../support/pebble.ts';
import { tempDir } from '../support/temp-dir.ts';
import { type Member, type MemberRole, startMember } from './member.ts';
import { type SoakRedis, startSoakRedis } from './soak-redis.ts';

/** Everything that runs, each a process of its own but for the proxies. */
export type System = AsyncDisposable & {
  members: Member[];
  /** Base URLs of the intakes. */
  intakes: string[];
  redis: SoakRedis;
  /** In the order of preference. Only the first is hit. */
  cas: [SoakCa, SoakCa];
};

/** Pebble, and in front of it the CA that the workers know. */
export type SoakCa = {
  /** Of the account there. */
  name: string;
  pebble: Pebble;
  proxy: FaultProxy;
  accountDir: string;
  /**
   * Kills Pebble, and starts it again after so many milliseconds: with another root, and without a memory.
   */
  kill(forMs: number): Promise<void>;
  /** All the roots that it has had by now. */
  roots(): Promise<string>;
};

const crew: Record<MemberRole, number> = { worker: 3, intake: 2, responder: 2 };

/** Orders take a second or two, as a CA's do: else no process would ever be hit in the middle of one. */
const pebbleEnv = { PEBBLE_VA_NOSLEEP: '0', PEBBLE_VA_SLEEPTIME: '3', PEBBLE_WFE_NONCEREJECT: '5' };

/**
 * Three workers, two intakes and two responders, behind which are a Redis that keeps its data (or a master
 * and its replica, with Sentinels), and two CAs: Pebble behind the fault proxy, which hands out a pending
 * order again as Let's Encrypt does. In front of the responders is what nginx would be.
 *
 * @param logDir gets a log file for each member
 */
export async function startSystem(logDir: string, hasSentinels: boolean): Promise<System> {
  await using started = new AsyncDisposableStack();
  const { path: dir } = started.use(await tempDir());
  await mkdir(join(dir, 'storage'));
  const redis = started.use(await startSoakRedis(hasSentinels));
  const front: ChallengeFront = started.use(await startChallengeFront());
  const first = await startCa('default', { dir, front, started });
  const second = await startCa('second', { dir, front, started, dnsServer: first.pebble.dnsServer });
  const cas: System['cas'] = [first, second];

  const intakes: string[] = [];
  const startOne = async (role: MemberRole, number: number) => {
    const name = `${role}-${number}`;
    const listener = `127.0.0.1:${await freePort()}`;
    if (role === 'intake') intakes.push(`http://${listener}`);
    if (role === 'responder') front.add(`http://${listener}`);
    const ini = configuration({ dir, redis, cas, listener, logFile: join(logDir, `${name}.log`) });
    return startMember({ name, role, ini, strayFile: join(logDir, `${name}.stray`) });
  };
  const wanted = Object.entries(crew).flatMap(([role, count]) =>
    Array.from({ length: count }, (_, index) => startOne(role as MemberRole, index + 1)),
  );
  const starting = await Promise.allSettled(wanted);
  const members = starting.flatMap(one => (one.status === 'fulfilled' ? [started.use(one.value)] : []));
  for (const one of starting) if (one.status === 'rejected') throw one.reason;
  await Promise.all(members.map(member => member.untilReady(60_000)));

  const running = started.move();
  return {
    members,
    intakes,
    redis,
    cas,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

type Ground = { dir: string; front: ChallengeFront; started: AsyncDisposableStack; dnsServer?: string };

async function startCa(name: string, { dir, front, started, dnsServer }: Ground): Promise<SoakCa> {
  const options = { httpPort: front.port, env: pebbleEnv, ...(dnsServer && { dnsServer }) };
  const pebble = started.use(await startPebble(options));
  const proxy = started.use(await startFaultProxy(pebble));
  let reuse = proxy.playOrderReuse();
  let earlierRoots = '';
  return {
    name,
    pebble,
    proxy,
    accountDir: join(dir, `account-${name}`),
    async kill(forMs) {
      earlierRoots += await pebble.rootPem();
      await Promise.all([proxy.goDown(), pebble.kill()]);
      await delay(forMs);
      await pebble.restart();
      reuse.remove();
      reuse = proxy.playOrderReuse();
      await proxy.comeBack();
    },
    roots: async () => earlierRoots + (await pebble.rootPem()),
  };
}

type Setting = { dir: string; redis: SoakRedis; cas: System['cas']; listener: string; logFile: string };

/** One configuration for all; a role passes over the listener that is not its own. */
function configuration({ dir, redis, cas: [first, second], listener, logFile }: Setting): string {
  return `[account]
${accountLines(first)}
[account "${second.name}"]
${accountLines(second)}
[mgmt]
listener = ${listener}
wait = 10
[verification "http"]
type = http01
listener = ${listener}
self-check = off
[storage "file"]
type = file
directory = ${join(dir, 'storage')}
renew-within = 1
[auth "soak"]
all = yes
domain = *
account = ${first.name}, ${second.name}
[redis]
${redis.lines}
[logging]
level = debug
destination = ${logFile}
`;
}

const accountLines = ({ proxy, accountDir }: SoakCa) => `acme-server = ${proxy.directoryUrl}
ca-file = ${proxy.caFile}
accept-terms-of-service = yes
dir = ${accountDir}`;
