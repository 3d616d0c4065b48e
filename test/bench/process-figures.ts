import { readdir, readFile } from 'node:fs/promises';

const ticksPerSecond = 100; // USER_HZ, the same on every Linux that Node runs on

/**
 * The seconds of CPU that a process has used; NaN where there is no /proc. Unlike a rate it does not suffer
 * from other work.
 */
export async function cpuSeconds(pid: number): Promise<number> {
  return (await ofThreads(pid)) ?? (await ofProcess(pid));
}

/** By its threads, in nanoseconds: one that has ended is not counted, but none of ours ends. */
async function ofThreads(pid: number): Promise<number | undefined> {
  try {
    const threads = await readdir(`/proc/${pid}/task`);
    const lines = await Promise.all(
      threads.map(thread => readFile(`/proc/${pid}/task/${thread}/schedstat`, 'utf8')),
    );
    return lines.reduce((sum, line) => sum + Number.parseInt(line, 10), 0) / 1e9;
  } catch {
    return undefined; // not every kernel has it
  }
}

async function ofProcess(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The second field is the command in parentheses, which may hold spaces; utime and stime are the 14th and
  // 15th.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** That of several processes together. */
export async function totalCpuSeconds(pids: readonly number[]): Promise<number> {
  const all = await Promise.all(pids.map(cpuSeconds));
  return all.reduce((sum, one) => sum + one, 0);
}

/** What a process has in memory, in megabytes; NaN where there is no /proc. */
export async function residentMegabytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) / 1024;
}
