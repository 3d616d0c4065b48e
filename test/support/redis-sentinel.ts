import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePorts } from './free-port.ts';
import { startProcess } from './processes.ts';
import { provision } from './provision.ts';
import { type Redis, startRedis } from './redis.ts';
import { askNode, startAll } from './redis-nodes.ts';
import { tempDir } from './temp-dir.ts';
import { waitUntil } from './wait-until.ts';

export type SentinelOptions = {
  /** Beside the master; one by default. */
  replicas?: number;
  /** So many of the three have to agree that a master is gone, 2 by default: of 4, it stays the master. */
  quorum?: number;
  /** Whether each Redis gets a file for its users. */
  users?: boolean;
  /** Of each Redis. */
  settings?: Record<string, string>;
};

export type RedisSentinels = AsyncDisposable & {
  /** Lines of `[redis]`. */
  lines: string;
  /** The Redis servers; the first begins as the master. */
  nodes: Redis[];
  /** The one that the first Sentinel takes for the master, whether or not it lives. */
  master(): Promise<Redis>;
  /** Waits until all Sentinels take another one for the master, and it is one. */
  untilOtherThan(old: Redis): Promise<Redis>;
  /** Hands the master's part to a replica while all are well, as an operator does. */
  demote(): Promise<Redis>;
  /** Has a node that lives again follow the master: the Sentinels would leave it alone for ten seconds. */
  rejoin(node: Redis): Promise<void>;
  /** Waits until every other node follows the master and has all that it has; none may be dead or frozen. */
  untilInStep(): Promise<void>;
};

/** What the Sentinels call the master. */
const masterName = 'quarry-test';

/**
 * One master, its replicas, and three Sentinels, which know each other from the start: by themselves they
 * find each other in seconds. A master that does not answer for half a second is replaced.
 */
export async function startRedisSentinels(options: SentinelOptions = {}): Promise<RedisSentinels> {
  const { replicas = 1, quorum = 2, users = false, settings = {} } = options;
  await using started = new AsyncDisposableStack();
  const { path: dir } = started.use(await tempDir());

  const startNode = async (port: number, masterPort: number) => {
    const configFile = join(dir, `redis-${port}.conf`);
    await writeFile(configFile, port === masterPort ? '' : `replicaof 127.0.0.1 ${masterPort}\n`);
    const soon = { 'repl-diskless-sync': 'yes', 'repl-diskless-sync-delay': '0' };
    const aclFile = users && { aclFile: join(dir, `users-${port}.acl`) };
    return startRedis({
      ...{ port, configFile, appendonly: true, ...aclFile },
      settings: { ...soon, ...settings },
    });
  };
  const ports = await freePorts(1 + replicas);
  const [masterPort = 0] = ports;
  const nodes = await startAll(
    ports.map(port => startNode(port, masterPort)),
    started,
  );
  const sentinels = await startSentinels(dir, ports, quorum, started);
  const [first = 0] = sentinels;

  async function masterSeenBy(sentinel: number): Promise<Redis | undefined> {
    const seen = await askNode(sentinel, node =>
      node.call('sentinel', 'get-master-addr-by-name', masterName),
    );
    return nodes.find(({ port }) => `${port}` === (seen as string[] | null)?.[1]);
  }

  async function master(): Promise<Redis> {
    const found = await masterSeenBy(first);
    if (!found) throw new Error('the Sentinel knows of no master');
    return found;
  }

  /** Another one that all Sentinels take for the master, and that is one. */
  async function successorOf(old: Redis): Promise<Redis | undefined> {
    const [found, ...others] = await Promise.all(sentinels.map(masterSeenBy));
    if (!found || found === old || others.some(one => one !== found)) return undefined;
    return (await standingOf(found)).role === 'master' ? found : undefined;
  }

  async function untilOtherThan(old: Redis, meanwhile = async () => {}): Promise<Redis> {
    let found: Redis | undefined;
    await waitUntil('all Sentinels to have the same new master', async () => {
      found = await successorOf(old);
      if (!found) await meanwhile();
      return found !== undefined;
    });
    return found as Redis;
  }

  async function untilInStep(): Promise<void> {
    await waitUntil('the replicas to have what the master has', async () => {
      const now = await master();
      const { offset } = await standingOf(now);
      const others = await Promise.all(nodes.filter(node => node !== now).map(standingOf));
      return others.every(one => one.masterPort === now.port && one.offset >= offset);
    });
  }

  async function rejoin({ port }: Redis): Promise<void> {
    const now = await master();
    await askNode(port, node => node.replicaof('127.0.0.1', now.port));
    await untilInStep();
  }

  /**
   * A fail-over is refused before a good replica is known, given up where the replica is slow, and undone
   * where a busy machine keeps the new master from answering: it is begun until it lasts.
   */
  async function demote(): Promise<Redis> {
    const old = await master();
    return untilOtherThan(old, async () => {
      const { port, flags } = await describeMaster();
      if (port !== old.port || flags.includes('failover_in_progress')) return;
      await askNode(first, node => node.call('sentinel', 'failover', masterName));
    });
  }

  /** What the first Sentinel says of the master, all at one moment. */
  async function describeMaster(): Promise<{ port: number; flags: string }> {
    const told = await askNode(first, node => node.call('sentinel', 'master', masterName));
    const fields = told as string[];
    const fieldOf = (name: string) => fields[fields.indexOf(name) + 1] ?? '';
    return { port: Number(fieldOf('port')), flags: fieldOf('flags') };
  }

  await untilInStep();
  const running = started.move();
  return {
    lines: [`sentinel-master = ${masterName}`, ...sentinels.map(port => `sentinel = 127.0.0.1:${port}`)].join(
      '\n',
    ),
    nodes,
    master,
    untilOtherThan,
    demote,
    rejoin,
    untilInStep,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** @returns their ports */
async function startSentinels(
  dir: string,
  [masterPort, ...replicas]: readonly number[],
  quorum: number,
  started: AsyncDisposableStack,
): Promise<number[]> {
  const { 'redis-server': command } = await provision(['redis-server']);
  const all = (await freePorts(3)).map(port => ({ port, id: randomBytes(20).toString('hex') }));
  const startOne = async ({ port, id }: (typeof all)[number]) => {
    const file = join(dir, `sentinel-${port}.conf`);
    const others = all.filter(one => one.port !== port);
    await writeFile(
      file,
      `port ${port}
bind 127.0.0.1
dir ${dir}
sentinel myid ${id}
sentinel monitor ${masterName} 127.0.0.1 ${masterPort} ${quorum}
sentinel down-after-milliseconds ${masterName} 500
sentinel failover-timeout ${masterName} 3000
${replicas.map(replica => `sentinel known-replica ${masterName} 127.0.0.1 ${replica}`).join('\n')}
${others.map(one => `sentinel known-sentinel ${masterName} 127.0.0.1 ${one.port} ${one.id}`).join('\n')}
`,
    );
    const ready = /\+monitor master/;
    started.use(await startProcess(command, [file, '--sentinel'], { name: 'redis-sentinel', ready }));
    return port;
  };
  return Promise.all(all.map(startOne));
}

type Standing = { role: 'master' | 'slave'; offset: number; masterPort?: number };

/** What a node says of itself. */
const standingOf = ({ port }: Redis): Promise<Standing> =>
  askNode(port, async node => {
    const [role, ...more] = (await node.role()) as unknown[];
    if (role === 'master') return { role: 'master', offset: Number(more[0]) };
    const [, masterPort, , offset] = more;
    return { role: 'slave', offset: Number(offset), masterPort: Number(masterPort) };
  });
