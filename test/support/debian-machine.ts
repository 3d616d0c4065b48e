import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startProcess } from './processes.ts';
import { tempDir } from './temp-dir.ts';
import { waitUntil } from './wait-until.ts';

/** A Debian with systemd as its process 1, fresh, in the network of this process. */
export type DebianMachine = AsyncDisposable & {
  /** Its root, as seen from here: what is written here is there. */
  root: string;
  /** Is `/mnt/shared` there. */
  shared: string;
  /** Runs a script of sh as root. @throws Error with what it said, where it does not end with 0 */
  run(script: string): Promise<string>;
  /** The same, and tells how it ended. */
  try(script: string): Promise<{ code: number; said: string }>;
};

const environment = [
  'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  ...['HOME=/root', 'LC_ALL=C.UTF-8', 'DEBIAN_FRONTEND=noninteractive'],
];

let count = 0;

/**
 * @param base the root that it begins with, which stays as it is (debian-base.ts)
 * @param address of it in a network of its own, such as 10.66.0.2; that of this process is 10.66.0.1 there
 */
export async function startDebianMachine(
  base: string,
  name: string,
  address?: string,
): Promise<DebianMachine> {
  await using started = new AsyncDisposableStack();
  const { path } = started.use(await tempDir());
  for (const folder of ['upper', 'work', 'root', 'shared']) await mkdir(join(path, folder));
  const cgroup = join(findCgroups(), `quarry-test-${process.pid}-${++count}`);
  started.defer(() => removeCgroup(cgroup));
  const network = address === undefined ? [] : [name];
  if (address !== undefined) {
    started.defer(() => ip(`netns delete ${name}`));
    await layCable(name, address);
  }
  const attempt = async (script: string) => runInside(await findInit(path), script);
  const machine = await startProcess(
    join(import.meta.dirname, 'machine.sh'),
    [base, path, cgroup, name, ...network],
    {
      name: `the machine ${name}`,
      ready: async () => /^(running|degraded)$/m.test((await attempt('systemctl is-system-running')).said),
    },
  );
  started.defer(() => machine.kill());
  const init = await findInit(path);
  const running = started.move();
  return {
    root: `/proc/${init}/root`,
    shared: join(path, 'shared'),
    try: attempt,
    async run(script) {
      const { code, said } = await attempt(script);
      if (code !== 0) throw new Error(`${name}: ${script}\nended with ${code}:\n${said}`);
      return said;
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

const ip = async (words: string) => void (await promisify(execFile)('ip', words.split(' ')));

/** Between the network of this process and a new one. */
async function layCable(name: string, address: string): Promise<void> {
  const ours = address.replace(/\d+$/, '1');
  await ip(`netns add ${name}`);
  await ip(`link add to-${name} type veth peer name eth0 netns ${name}`);
  await ip(`addr add ${ours}/24 dev to-${name}`);
  await ip(`link set to-${name} up`);
  await ip(`-n ${name} addr add ${address}/24 dev eth0`);
  await ip(`-n ${name} link set eth0 up`);
  await ip(`-n ${name} link set lo up`);
}

/** Where groups of version 2 are, also beside those of version 1. */
const findCgroups = () =>
  existsSync('/sys/fs/cgroup/cgroup.procs') ? '/sys/fs/cgroup' : '/sys/fs/cgroup/unified';

/** The number that its process 1 has here. */
async function findInit(folder: string): Promise<number> {
  const pid = (await readFile(join(folder, 'pid'), 'utf8')).trim();
  return Number((await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim());
}

function runInside(init: number, script: string): Promise<{ code: number; said: string }> {
  const namespaces = ['-m', '-u', '-i', '-p', '-C'];
  const words = ['-t', `${init}`, ...namespaces, '--', 'env', '-i', ...environment, 'sh', '-euc', script];
  return new Promise(resolve => {
    execFile('nsenter', words, { maxBuffer: 64 * 1024 * 1024, cwd: '/' }, (error, stdout, stderr) => {
      const code = error ? Number(error.code ?? 1) : 0;
      resolve({ code, said: `${stdout}${stderr}` });
    });
  });
}

async function removeCgroup(path: string): Promise<void> {
  const names = await readdir(path, { withFileTypes: true }).catch(() => []);
  for (const entry of names) if (entry.isDirectory()) await removeCgroup(join(path, entry.name));
  // What was killed may take a moment to go.
  await waitUntil(`${path} to be empty`, () =>
    rmdir(path).then(
      () => true,
      error => error.code === 'ENOENT',
    ),
  );
}
