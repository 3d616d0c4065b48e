import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { systemClock } from '../../shared/base/basics.ts';
import { closeRedis, openRedis } from '../../shared/base/open-redis.ts';
import { type Redis, runScript, toScript } from '../../shared/base/redis.ts';
import { runAll } from '../../shared/base/refusals.ts';
import { scanAll } from '../../shared/base/scan.ts';
import { addressFor, findPlace } from '../../shared/config/redis-access.ts';
import { openQueue, openWorker } from '../../shared/queue/bullmq.ts';
import { account, auth, loadText } from '../shared/setup/load-text.ts';
import { quietLog } from '../support/quiet-log.ts';
import type { Redis as Server } from '../support/redis.ts';
import { startRedisCluster } from '../support/redis-cluster.ts';
import { askNode } from '../support/redis-nodes.ts';
import { startRedisSentinels } from '../support/redis-sentinel.ts';
import { waitUntil } from '../support/wait-until.ts';

// Connections whose Redis moves: what is asked of them goes on at the new place.

const prefix = '{quarry}';
const add = toScript(`return redis.call('sadd', KEYS[1], ARGV[1])`);

const stack = new AsyncDisposableStack();
after(() => stack.disposeAsync());

type Moving = {
  lines: string;
  /** Resolves once another Redis has the keys. */
  move(): Promise<Server>;
  /** Whether the old one may go on for a while, and forget what it does then. */
  forgets: boolean;
};

async function bySentinels(): Promise<Moving> {
  const redis = stack.use(await startRedisSentinels());
  return { lines: redis.lines, move: redis.demote, forgets: true };
}

async function inCluster(): Promise<Moving> {
  const redis = stack.use(await startRedisCluster());
  const move = async () => {
    const old = await redis.masterOf(prefix);
    const next = redis.nodes.find(node => node !== old) as Server;
    await redis.moveSlot(prefix, next, 20);
    return next;
  };
  return { lines: redis.lines, move, forgets: false };
}

for (const [where, start] of [
  ['is the master that Sentinels name, and is demoted', bySentinels],
  ['holds a slot of a cluster that moves to another one', inCluster],
] as const)
  test(`where Redis ${where}, commands, scripts, transactions, messages and jobs go on`, async () => {
    const { lines, move, forgets } = await start();
    const { redis: config } = await loadText(`${account}${auth}[redis]\n${lines}\n`);
    const place = findPlace(config);
    assert.ok(place);
    const redisAddress = addressFor('worker', place, config);
    using connections = new DisposableStack();
    const connect = (patience: 'patient' | 'impatient'): Redis =>
      connections.adopt(openRedis(redisAddress, patience, quietLog), closeRedis);
    const [patient, impatient, ears] = [connect('patient'), connect('impatient'), connect('patient')];
    const heard: string[] = [];
    ears.on('message', (_channel, message) => heard.push(message));
    await ears.subscribe(`${prefix}:news`);

    const parts = { prefix, clock: systemClock, log: quietLog };
    const queue = openQueue<{ name: string }>('moving', { ...parts, store: { redis: patient, prefix } });
    const ended: string[] = [];
    const consumer = {
      ...{ concurrency: 2, patience: 0 },
      isData: (data: unknown): data is { name: string } => typeof data === 'object',
      run: async ({ data }: { data: { name: string } }) => void ended.push(data.name),
    };
    await using _worker = openWorker('moving', consumer, { ...parts, redisAddress });

    const asked: string[] = [];
    let [isMoved, isOver] = [false, false];
    const asking = (async () => {
      while (!isOver) {
        const name = `job-${asked.length}`;
        asked.push(name);
        await runScript(patient, add, [`${prefix}:scripts`], [name]);
        await runAll(patient, all => all.set(`${prefix}:one:${name}`, '1').sadd(`${prefix}:all`, name));
        await queue.add('job', { name }, { jobId: name });
        if (forgets && !isMoved) await patient.wait(1, 1_000); // what is done before is to be safe
      }
    })();
    await waitUntil('some steps', () => asked.length > 3 && ended.length > 0);
    const safe = asked.slice(0, -1);
    const holder = await move();
    const countThere = () => askNode(holder.port, node => node.scard(`${prefix}:all`));
    const before = await countThere();
    await waitUntil('one more there', async () => (await countThere()) > before);
    isMoved = true;
    await waitUntil('some more there', async () => (await countThere()) > before + 2);
    const later = asked.length;
    await waitUntil('one step from its beginning on', () => asked.length > later + 1);
    isOver = true;
    await asking;

    const expected = forgets ? [...safe, ...asked.slice(later)] : asked;
    await waitUntil('the jobs to end', () => expected.every(name => ended.includes(name)));
    if (!forgets) assert.equal(ended.length, asked.length, 'no job ran twice');
    const found = new Set<string>();
    for await (const key of scanAll(patient, `${prefix}:one:`, '*'))
      found.add(key.slice(`${prefix}:one:`.length));
    for (const set of [
      found,
      new Set(await patient.smembers(`${prefix}:scripts`)),
      new Set(await patient.smembers(`${prefix}:all`)),
    ])
      assert.deepEqual(
        expected.filter(name => !set.has(name)),
        [],
      );
    // A master that was replaced goes on for ten seconds, at one step a second: nobody may stay with it.
    const forgotten = asked.filter(name => !found.has(name));
    assert.ok(forgotten.length <= 3, `${forgotten.length} steps were forgotten`);
    const isThere = async () => (await impatient.scard(`${prefix}:all`)) === (await countThere());
    await waitUntil('the impatient connection to be there, too', () => isThere().catch(() => false));
    await waitUntil('the message', async () => {
      await patient.publish(`${prefix}:news`, 'moved');
      return heard.length > 0;
    });
    await queue.close();
  });
