import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import type { TestContext } from 'node:test';

type Call = 'link' | 'rename' | 'open';

/** As the system says it, as far as anybody looks. */
export function systemError(code: string, call: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: as a test wants it, ${call}`), { code, errno: -1, syscall: call });
}

/**
 * Has a call of the file system fail for the rest of a test, as other file systems do.
 *
 * @param code such as `EPERM`
 * @param where whether it fails for these arguments
 */
export function failCalls(
  t: TestContext,
  call: Call,
  code: string,
  where: (...args: unknown[]) => boolean = () => true,
): void {
  const real = fs[call] as (...args: unknown[]) => Promise<unknown>;
  const mocked = t.mock.method(fs, call, async (...args: unknown[]) => {
    if (where(...args)) throw systemError(code, call);
    return real(...args);
  });
  syncBuiltinESMExports();
  t.after(() => {
    mocked.mock.restore();
    syncBuiltinESMExports();
  });
}
