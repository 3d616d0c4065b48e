import { execFile } from 'node:child_process';
import { cp, mkdir, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { startProcess } from '../support/processes.ts';
import { tempDir } from '../support/temp-dir.ts';

const run = promisify(execFile);

/** The checkout as it stands, edits included, in a folder that is removed at the end. Packages are linked. */
export async function copyCheckout(root: string): Promise<AsyncDisposable & { path: string }> {
  const copy = await tempDir();
  const { stdout } = await run('git', ['-C', root, 'ls-files', '-z', '-co', '--exclude-standard']);
  for (const file of stdout.split('\0').filter(name => name !== '')) {
    await mkdir(dirname(join(copy.path, file)), { recursive: true });
    // A file that git knows may have been removed.
    await cp(join(root, file), join(copy.path, file)).catch(ignoreMissing);
  }
  await symlink(join(root, 'node_modules'), join(copy.path, 'node_modules'));
  return copy;
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}

/** How a program ended: well, badly, or not in time. */
export type Ending = 'passed' | 'failed' | 'hung';

/** Runs a program of Node's in a copy; all that it has started ends with it. */
export async function runIn(
  copy: string,
  args: string[],
  { timeoutMs, env = {} }: { timeoutMs: number; env?: Record<string, string> },
): Promise<Ending> {
  const running = await startProcess(process.execPath, args, {
    name: args.join(' '),
    cwd: copy,
    env,
    ready: async () => true,
  });
  const timer = AbortSignal.timeout(timeoutMs);
  const late = new Promise<'late'>(done => timer.addEventListener('abort', () => done('late')));
  const code = await Promise.race([running.exited, late]);
  await running.kill();
  if (code === 'late') return 'hung';
  return code === 0 ? 'passed' : 'failed';
}
