import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { describeError } from './errors.ts';

/** Seconds. The system needs a moment to free the lock of a holder that was killed. */
const PATIENCE = 5;

type DirectoryLock = AsyncDisposable & {
  /** Fires when the lock is lost before it is released. */
  lost: AbortSignal;
};

/**
 * Locks a directory for one process of this machine. Node cannot lock files, so `flock` of util-linux holds
 * the lock and ends with its standard input: the lock ends with its holder, however that dies.
 *
 * @returns `undefined` while another process has it
 * @throws Error when there is no such directory, no `flock`, or when the file system has no locks
 */
export async function lockDirectory(path: string): Promise<DirectoryLock | undefined> {
  // flock would make a file of that name.
  if (!(await stat(path)).isDirectory()) throw new Error(`${path} is not a directory`);
  const command = [
    '--timeout',
    `${PATIENCE}`,
    '--conflict-exit-code',
    '75',
    path,
    'sh',
    '-c',
    'echo locked; exec cat',
  ];
  // Detached, so that a terminal's signals do not reach it.
  const child = spawn('flock', command, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  const exited = once(child, 'exit');
  const said = text(child.stderr);
  try {
    await once(child, 'spawn');
  } catch (error) {
    exited.catch(() => {});
    throw new Error('flock cannot be run, which keeps two runs apart (Debian package util-linux)', {
      cause: error,
    });
  }
  child.stdin.on('error', () => {}); // the exit tells of it
  const locked = await Promise.race([once(child.stdout, 'data'), exited.then(() => undefined)]);
  if (!locked) {
    if (child.exitCode === 75) return undefined;
    throw new Error(`${path} cannot be locked: ${describeRefusal(await said)}`);
  }
  child.stdout.resume();
  const lost = new AbortController();
  let released = false;
  exited.then(
    () => released || lost.abort(new Error(`the lock on ${path} was lost`)),
    error => lost.abort(new Error(`the lock on ${path} was lost: ${describeError(error)}`)),
  );
  return {
    lost: lost.signal,
    async [Symbol.asyncDispose]() {
      released = true;
      child.stdin.end();
      await exited;
    },
  };
}

/** @param said what `flock` wrote, such as `flock: /trail: No locks available` */
function describeRefusal(said: string): string {
  const reason = said.trim().split('\n').at(-1) ?? '';
  if (!/No locks available|not supported|not implemented|Bad file descriptor/.test(reason)) return reason;
  const advice =
    'keep it in another one; NFS locks on this machine alone with the mount option local_lock=flock';
  return `${reason}; its file system has no locks: ${advice}`;
}
