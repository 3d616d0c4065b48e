import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { provision } from './provision.ts';
import { tempDir } from './temp-dir.ts';

/** A time that is not that of this machine, for the programs that are given its environment. */
export type ShiftedTime = AsyncDisposable & {
  env: Record<string, string>;
  /** Sets it, also for those that run. @param ahead milliseconds that it is ahead of this machine's */
  set(ahead: number): Promise<void>;
};

const source = join(import.meta.dirname, 'shifted-time', 'shift.c');

export async function shiftedTime(ahead = 0): Promise<ShiftedTime> {
  const { cc } = await provision(['cc', 'libc-headers']);
  const dir = await tempDir();
  const [library, file] = [join(dir.path, 'shift.so'), join(dir.path, 'shift')];
  const set = async (milliseconds: number) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(milliseconds));
    await writeFile(file, bytes, { flag: 'r+' });
  };
  await writeFile(file, Buffer.alloc(8));
  await set(ahead);
  await promisify(execFile)(cc, ['-shared', '-fPIC', '-O1', '-o', library, source]);
  return {
    env: { LD_PRELOAD: library, SHIFT_FILE: file },
    set,
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

/** For Node: a process whose clock is so many milliseconds ahead of this machine's. */
export const aheadBy = (milliseconds: number): string[] => {
  const code = `const now = Date.now; Date.now = () => now() + ${milliseconds};
globalThis.Date = class extends Date {
  constructor(...given) { super(...(given.length === 0 ? [Date.now()] : given)); }
};`;
  return ['--import', `data:text/javascript,${encodeURIComponent(code)}`];
};
