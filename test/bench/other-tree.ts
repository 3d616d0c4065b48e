import { execFile, execFileSync } from 'node:child_process';
import { readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { tempDir } from '../support/temp-dir.ts';
import type { Tell } from './benchmark.ts';

const run = promisify(execFile);

export type OtherTree = AsyncDisposable & {
  root: string;
  /** The commit's short name and what it says. */
  commit: string;
};

/**
 * Checks a revision out in a folder of its own, with the packages of `root` where it locks the same ones, and
 * with its own otherwise. The folder goes when it is disposed of, or at the latest when the process exits.
 *
 * @param root of a git worktree
 * @throws Error in one line, where there is no such commit
 */
export async function checkOut(root: string, revision: string, tell: Tell): Promise<OtherTree> {
  const git = (...args: string[]) => run('git', ['-C', root, ...args]);
  await git('rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`).catch(() => {
    throw new Error(`there is no commit ${revision}`);
  });
  const { stdout: commit } = await git('log', '-1', '--format=%h %s', '--end-of-options', revision);

  await using stack = new AsyncDisposableStack();
  const { path } = stack.use(await tempDir());
  const tree = join(path, 'tree');
  const remove = ['-C', root, 'worktree', 'remove', '--force', tree];
  const removeAtExit = () => execFileSync('git', remove, { stdio: 'ignore' });
  process.prependListener('exit', removeAtExit);
  stack.defer(async () => {
    process.off('exit', removeAtExit);
    await run('git', remove);
  });
  await git('worktree', 'add', '--quiet', '--detach', tree, revision);
  await addPackages(root, tree, tell);
  const opened = stack.move();
  return { root: tree, commit: commit.trim(), [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

async function addPackages(root: string, tree: string, tell: Tell): Promise<void> {
  const [ours, theirs] = await Promise.all(
    [root, tree].map(path => readFile(join(path, 'package-lock.json'), 'utf8')),
  );
  if (ours === theirs) return await symlink(join(root, 'node_modules'), join(tree, 'node_modules'));
  tell('its packages are others, npm installs them');
  await run('npm', ['ci', '--no-audit', '--no-fund'], { cwd: tree });
}
