import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { constants } from 'node:os';
import type { TestContext } from 'node:test';

type Call = 'access' | 'link' | 'rename' | 'open' | 'readFile';

/** As the system says it, as far as anybody looks. */
export function systemError(code: string, call: string): NodeJS.ErrnoException {
  const errno = -(constants.errno[code as keyof typeof constants.errno] ?? 1);
  return Object.assign(new Error(`${code}: as a test wants it, ${call}`), { code, errno, syscall: call });
}

type AnyCall = (...args: unknown[]) => Promise<unknown>;

function replaceCall(t: TestContext, call: Call, by: (real: AnyCall) => AnyCall): void {
  const mocked = t.mock.method(fs, call, by(fs[call] as AnyCall) as never);
  syncBuiltinESMExports();
  t.after(() => {
    mocked.mock.restore();
    syncBuiltinESMExports();
  });
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
  replaceCall(t, call, real => async (...args) => {
    if (where(...args)) throw systemError(code, call);
    return real(...args);
  });
}

/** Has a call with such arguments wait before it is done. @returns resolves once the first one waits */
export function holdCall(
  t: TestContext,
  call: Call,
  until: Promise<void>,
  where: (...args: unknown[]) => boolean = () => true,
): Promise<void> {
  const reached = Promise.withResolvers<void>();
  replaceCall(t, call, real => async (...args) => {
    if (!where(...args)) return real(...args);
    reached.resolve();
    await until;
    return real(...args);
  });
  return reached.promise;
}

/** Lets who hangs at a pipe, to read it, go on, whether or not anybody does. */
export async function releasePipe(path: string): Promise<void> {
  const pipe = await fs.open(path, 'r+');
  await pipe.close();
}
