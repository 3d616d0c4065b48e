import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { readCsr } from '../../shared/pki/csr.ts';
import { ask } from '../support/ask.ts';
import { makeCsr } from '../support/csr.ts';
import { startFaultProxy } from '../support/fault-proxy.ts';
import {
  type FleetRole,
  type RoleOptions,
  type RoleProcess,
  startFleet,
  toServers,
} from '../support/fleet.ts';
import { startRedis } from '../support/redis.ts';
import { askNode } from '../support/redis-nodes.ts';
import { startRedisSentinels } from '../support/redis-sentinel.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { about } from './faults/orders.ts';

// Each role beside each outage: all are told to stop in the middle of it, with an order under way for which a
// client waits. A stop that is not clean ends with 1 after nine seconds; where the event loop or a thread of
// the pool hangs, a process may not end at all.

const run = promisify(execFile);
const stack = new AsyncDisposableStack();
after(() => stack.disposeAsync());
const { path: dir } = stack.use(await tempDir());
const mounts = stack.use(new AsyncDisposableStack());
const newRedis = async (name: string) =>
  stack.use(await startRedis({ appendonly: true, aclFile: join(dir, `${name}.acl`) }));
const calm = await newRedis('calm');
const [gone, goneToo] = [await newRedis('gone'), await newRedis('gone-too')];
const [silent, full] = [await newRedis('silent'), await newRedis('full')];
// Its master is killed, and they never agree on that.
const leaderless = stack.use(await startRedisSentinels({ quorum: 4, users: true }));
const fleet = stack.use(await startFleet({ roles: [], servers: toServers(calm) }));
const awayCa = stack.use(await startFaultProxy(fleet.pebble));
const silentCa = stack.use(await startFaultProxy(fleet.pebble));

type Outage = {
  name: string;
  /** Whether all roles are in one process: what hangs one of them hangs all. Else each has its own. */
  together?: true;
  /** Of its roles, which have a folder of their own. */
  options?(folder: string): RoleOptions;
  /** What the worker and the scheduler are to find when they start. */
  before?(folder: string, intake: RoleProcess): Promise<void>;
  /** All roles are ready, and an order is under way. */
  begin(folder: string, intake: RoleProcess): unknown;
  /** Whether a role is in the middle of it. */
  isFelt?(role: RoleProcess, name: FleetRole): boolean | Promise<boolean>;
  /** Those that end by the signal: nothing else ends a call to a file system that hangs. */
  bySignal?: readonly FleetRole[];
};

const isNotReady = async (role: RoleProcess) => (await ask(`${role.adminUrl}/readyz`)).status === 503;
const told = (role: RoleProcess, text: string) => role.log().some(({ msg }) => msg === text);

const outages: Outage[] = [
  {
    name: 'Redis is away',
    options: () => ({ servers: toServers(gone) }),
    begin: () => gone.kill(),
    isFelt: isNotReady,
  },
  {
    name: 'Redis is away from all roles of a process',
    together: true,
    options: () => ({ servers: toServers(goneToo) }),
    begin: () => goneToo.kill(),
    isFelt: isNotReady,
  },
  {
    name: 'Redis is silent',
    options: () => ({ servers: toServers(silent) }),
    begin: () => silent.freeze(),
    isFelt: isNotReady,
  },
  {
    name: 'Redis refuses to write',
    options: () => ({ servers: toServers(full) }),
    begin: () => askNode(full.port, node => node.config('SET', 'maxmemory', '1')),
    isFelt: (role, name) => name === 'responder' || isNotReady(role), // it writes nothing
  },
  {
    name: 'Redis fails over',
    options: () => ({ servers: leaderless }),
    begin: async () => (await leaderless.master()).kill(),
    isFelt: isNotReady,
  },
  {
    name: 'the CA is away',
    together: true,
    options: () => ({ acmeServer: awayCa.directoryUrl }),
    begin: () => awayCa.goDown(),
    isFelt: role => told(role, 'step failed'),
  },
  {
    name: 'the CA is silent',
    together: true,
    options: () => ({ acmeServer: silentCa.directoryUrl }),
    begin: () => silentCa.rule({ do: { hold: 'before' } }), // what is held up now is so for ever
  },
  {
    name: 'a storage hangs',
    async before(folder, intake) {
      const { status, body } = await postHanging(intake, { Prefer: 'respond-async' });
      assert.equal(status, 202, body);
      const { digest } = readCsr(Buffer.from(hanging.csrPem));
      const entry = join(folder, 'storage', digest.slice(0, 2), digest.slice(2));
      await mkdir(entry, { recursive: true });
      await run('mkfifo', [join(entry, 'cert.pem'), join(entry, 'csr.pem')]);
    },
    begin: (_, intake) => void postHanging(intake).catch(() => {}), // it is cut off in the end
    isFelt: (role, name) => name === 'responder' || isOpeningPipe(role.pid),
    bySignal: ['intake', 'worker', 'scheduler'],
  },
  {
    name: 'nobody reads the log',
    together: true,
    options: folder => ({
      through: ['sh', '-c', 'exec "$@" 2>"$0"', join(folder, 'pipe')],
      logIsLost: true,
    }),
    begin: folder => fillPipe(join(folder, 'pipe')),
  },
  {
    name: 'the disk is full',
    together: true,
    options: folder => ({ logFile: join(folder, 'log') }),
    begin: fillDisk,
  },
];

const hanging = await makeCsr({ names: ['hanging.example'] });
const postHanging = (intake: RoleProcess, headers: Record<string, string> = {}) =>
  fleet.post(hanging.csrPem, { to: intake, headers });

/** Whether a thread waits for somebody to write into a pipe that it wants to read. */
async function isOpeningPipe(pid: number): Promise<boolean> {
  const threads = await readdir(`/proc/${pid}/task`);
  const places = await Promise.all(threads.map(id => readFile(`/proc/${pid}/task/${id}/wchan`, 'utf8')));
  return places.includes('wait_for_partner');
}

async function fillPipe(path: string): Promise<void> {
  const pipe = stack.use(await open(path, constants.O_WRONLY | constants.O_NONBLOCK));
  const page = Buffer.alloc(4096, '\n');
  await assert.rejects(
    async () => {
      for (;;) await pipe.write(page);
    },
    { code: 'EAGAIN' },
  );
}

async function fillDisk(folder: string): Promise<void> {
  const chunk = Buffer.alloc(65_536);
  await assert.rejects(
    async () => {
      for (let at = 0; ; at++) await writeFile(join(folder, `filling-${at}`), chunk);
    },
    { code: 'ENOSPC' },
  );
}

/** A folder on a small disk of its own, with a pipe that this process holds open and never reads. */
async function makeFolder(name: string): Promise<string> {
  const folder = join(dir, name.replaceAll(' ', '-'));
  await mkdir(folder);
  await run('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', folder]);
  mounts.defer(async () => void (await run('umount', ['--lazy', folder])));
  await run('mkfifo', [join(folder, 'pipe')]);
  stack.use(await open(join(folder, 'pipe'), constants.O_RDWR));
  return folder;
}

const blocksIn = (folder: string) => `[storage "file"]
type = file
directory = ${join(folder, 'storage')}
[auth "all"]
all = yes
domain = *
storage = file
[trail]
dir = ${join(folder, 'trail')}
[notify "chat"]
url = http://127.0.0.1:1/
`;

type Crew = Partial<Record<FleetRole, RoleProcess>> & { intake: RoleProcess };

async function startCrew({ name, options, before, together }: Outage, folder: string): Promise<Crew> {
  const redis = `prefix = {${name.replaceAll(' ', '-')}}`;
  const own: RoleOptions = { blocks: blocksIn(folder), redis, ...options?.(folder) };
  const start = (role: FleetRole) => fleet.start(role, own);
  if (together) return { intake: await start('up') };
  const [intake, responder] = await Promise.all([start('intake'), start('responder')]);
  await before?.(folder, intake);
  const [worker, scheduler] = await Promise.all([start('worker'), start('scheduler')]);
  return { intake, responder, worker, scheduler };
}

/** Posts for a name whose order is then held up at all CAs. */
async function holdOrder(name: string, intake: RoleProcess): Promise<void> {
  const holds = [fleet.ca, awayCa, silentCa].map(ca =>
    ca.rule({ kind: 'challenge', when: about(name), do: { hold: 'before' } }),
  );
  const { csrPem } = await makeCsr({ names: [name] });
  fleet.post(csrPem, { to: intake }).catch(() => {}); // it is cut off in the end
  await Promise.race(holds.map(hold => hold.hit()));
}

/** Its exit code; `null` after a signal, and in words where it does not end by itself. */
async function stopped(role: RoleProcess): Promise<number | string | null> {
  process.kill(role.pid, 'SIGTERM');
  const end = await Promise.race([role.exited, delay(60_000, 'does not end', { ref: false })]);
  if (end === 'does not end') await role.kill();
  return end;
}

suite('SIGTERM ends every role cleanly', { concurrency: 2 }, () => {
  for (const outage of outages)
    test(`while ${outage.name}`, async () => {
      const folder = await makeFolder(outage.name);
      const crew = await startCrew(outage, folder);
      const roles = Object.entries(crew) as [FleetRole, RoleProcess][];
      await holdOrder(`${outage.name.replaceAll(' ', '-').toLowerCase()}.example`, crew.intake);
      await outage.begin(folder, crew.intake);
      for (const [name, role] of roles)
        await waitUntil(`the ${name} to feel it`, async () => (await outage.isFelt?.(role, name)) ?? true);
      const ends = await Promise.all(roles.map(async ([name, role]) => [name, await stopped(role)]));
      assert.deepEqual(
        ends,
        roles.map(([name]) => [name, outage.bySignal?.includes(name) ? null : 0]),
      );
      for (const [name, role] of roles) assert.ok(!told(role, 'a role has not stopped in time'), name);
    });
});
