import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from './free-port.ts';
import { provision } from './provision.ts';
import { type Redis, startRedis } from './redis.ts';
import { askNode, startAll } from './redis-nodes.ts';
import { tempDir } from './temp-dir.ts';
import { waitUntil } from './wait-until.ts';

const run = promisify(execFile);

export type ClusterOptions = {
  /** Whether each master has a replica; by default none has. */
  replicas?: boolean;
  /** Whether each Redis gets a file for its users. */
  users?: boolean;
  /** Of each Redis. */
  settings?: Record<string, string>;
};

export type RedisCluster = AsyncDisposable & {
  /** Lines of `[redis]`. */
  lines: string;
  /** Three masters, and after them their replicas, in the same order. */
  nodes: Redis[];
  /** The master that has the slot of a key, as the nodes say that live. */
  masterOf(key: string): Promise<Redis>;
  /** Waits until all nodes that live say that another one than this has the slot of the key. */
  untilOtherThan(old: Redis, key: string): Promise<Redis>;
  /** Moves the slot of a key to another master, and what is in it: key by key, with a pause after each. */
  moveSlot(key: string, to: Redis, pauseMs?: number): Promise<void>;
};

const slots = 16_384;
const masterCount = 3;

/**
 * A cluster of three masters that share the slots evenly. A master that does not answer for half a second is
 * replaced by its replica.
 */
export async function startRedisCluster(options: ClusterOptions = {}): Promise<RedisCluster> {
  const { replicas = false, users = false, settings = {} } = options;
  await using started = new AsyncDisposableStack();
  const { path: dir } = started.use(await tempDir());
  const startNode = async (): Promise<Node> => {
    const port = await freePort();
    const node = await nodeSettings();
    const bus = Number(node['cluster-port'] ?? port + 10_000);
    const own = {
      ...node,
      'cluster-node-timeout': '500',
      'cluster-replica-validity-factor': '0',
      'cluster-require-full-coverage': 'no',
      'repl-diskless-sync': 'yes',
      'repl-diskless-sync-delay': '0',
    };
    const aclFile = users && { aclFile: join(dir, `users-${port}.acl`) };
    const redis = await startRedis({
      ...{ port, appendonly: true, ...aclFile },
      settings: { ...own, ...settings },
    });
    return Object.assign(redis, { bus });
  };
  const count = replicas ? 2 * masterCount : masterCount;
  // The other port of an old Redis is not ours to choose, and may be in use.
  const startOne = async () =>
    (await knowsClusterPort()) ? startNode() : startNode().catch(startNode).catch(startNode);
  const nodes = await startAll(Array.from({ length: count }, startOne), started);
  await unite(nodes);

  /** What those say that answer; others are dead or frozen. */
  async function seenMasters(key: string): Promise<(Redis | undefined)[]> {
    const answers = await Promise.allSettled(nodes.map(({ port }) => findMasterPort(port, key)));
    return answers.flatMap(one =>
      one.status === 'fulfilled' ? [nodes.find(({ port }) => port === one.value)] : [],
    );
  }

  async function masterOf(key: string): Promise<Redis> {
    const [found] = await seenMasters(key);
    if (!found) throw new Error(`no master has the slot of ${key}`);
    return found;
  }

  const running = started.move();
  return {
    lines: nodes.map(({ port }) => `cluster = 127.0.0.1:${port}`).join('\n'),
    nodes,
    masterOf,
    async untilOtherThan(old, key) {
      let seen: (Redis | undefined)[] = [];
      await waitUntil('the nodes to name another master for the slot', async () => {
        seen = await seenMasters(key);
        return seen[0] !== undefined && seen[0] !== old && seen.every(one => one === seen[0]);
      });
      return seen[0] as Redis;
    },
    moveSlot: async (key, to, pauseMs = 0) => move(await masterOf(key), to, { key, pauseMs, nodes }),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** @param bus the port by which the nodes talk to each other */
type Node = Redis & { bus: number };

/** Of a node of a cluster, whose other port nobody else has where Redis lets that be chosen. */
export async function nodeSettings(): Promise<Record<string, string>> {
  const settings: Record<string, string> = { 'cluster-enabled': 'yes' };
  if (await knowsClusterPort()) settings['cluster-port'] = `${await freePort()}`;
  return settings;
}

/** Before Redis 7 the other port is always the port and 10,000. */
async function knowsClusterPort(): Promise<boolean> {
  const { 'redis-server': command } = await provision(['redis-server']);
  const { stdout } = await run(command, ['--version']);
  return Number(/ v=(\d+)/.exec(stdout)?.[1]) >= 7;
}

async function unite(nodes: readonly Node[]): Promise<void> {
  const masters = nodes.slice(0, masterCount);
  await Promise.all(
    masters.map(({ port }, index) =>
      askNode(port, async node => {
        await node.cluster('SET-CONFIG-EPOCH', index + 1);
        await node.cluster('ADDSLOTS', ...slotsOf(index));
      }),
    ),
  );
  await Promise.all(
    nodes.flatMap(({ port }, index) =>
      nodes
        .slice(index + 1)
        .map(other =>
          askNode(port, node => node.call('cluster', 'meet', '127.0.0.1', other.port, other.bus)),
        ),
    ),
  );
  const facts = ({ port }: Node) => askNode(port, node => node.cluster('INFO'));
  await waitUntil('the nodes to know each other', async () =>
    (await Promise.all(nodes.map(facts))).every(text =>
      text.includes(`cluster_known_nodes:${nodes.length}\r`),
    ),
  );
  const replicas = nodes.slice(masterCount);
  const follow = async ({ port }: Node, index: number) => {
    const master = masters[index]?.port ?? 0;
    const id = await askNode(master, node => node.cluster('MYID'));
    await waitUntil('the replica to find its master', () =>
      askNode(port, node => node.cluster('REPLICATE', id)).then(() => true),
    );
    await waitUntil('the replica to follow', () =>
      askNode(port, async node => ((await node.role()) as unknown[])[3] === 'connected'),
    );
  };
  await Promise.all(replicas.map(follow));
  await waitUntil('the cluster to work', async () =>
    (await Promise.all(nodes.map(facts))).every(text => text.includes('cluster_state:ok')),
  );
}

function slotsOf(master: number): number[] {
  const from = Math.floor((slots * master) / masterCount);
  const to = Math.floor((slots * (master + 1)) / masterCount);
  return Array.from({ length: to - from }, (_, index) => from + index);
}

const findMasterPort = (port: number, key: string): Promise<number | undefined> =>
  askNode(port, async node => {
    const slot = await node.cluster('KEYSLOT', key);
    const shares = await node.cluster('SLOTS');
    const [, , master] = shares.find(([from, to]) => from <= slot && slot <= to) ?? [];
    return master?.[1];
  });

type Move = { key: string; pauseMs: number; nodes: readonly Redis[] };

/** As `redis-cli --cluster reshard` does it. */
async function move(from: Redis, to: Redis, { key, pauseMs, nodes }: Move): Promise<void> {
  const [fromId, toId] = await Promise.all(
    [from, to].map(({ port }) => askNode(port, node => node.cluster('MYID'))),
  );
  const slot = await askNode(from.port, node => node.cluster('KEYSLOT', key));
  await askNode(to.port, node => node.call('cluster', 'setslot', slot, 'importing', `${fromId}`));
  await askNode(from.port, node => node.call('cluster', 'setslot', slot, 'migrating', `${toId}`));
  for (;;) {
    const [next] = await askNode(from.port, node => node.cluster('GETKEYSINSLOT', slot, 1));
    if (next === undefined) break;
    await askNode(from.port, node => node.call('migrate', '127.0.0.1', to.port, next, 0, 5_000));
    if (pauseMs > 0) await delay(pauseMs);
  }
  // The new master first: else the old one, asked in between, would send all to itself.
  const others = nodes.filter(node => node !== to && node !== from);
  for (const { port } of [to, from, ...others])
    await askNode(port, node => node.call('cluster', 'setslot', slot, 'node', `${toId}`)).catch(() => {});
}
