import { readFile } from 'node:fs/promises';

const ticksPerSecond = 100; // USER_HZ, the same on every Linux that Node runs on

/**
 * The seconds of CPU that a process has used; NaN where there is no /proc. Unlike a rate it does not suffer
 * from other work.
 */
export async function cpuSeconds(pid: number): Promise<number> {
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
