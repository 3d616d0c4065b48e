import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { findCommand } from './find-command.ts';
import { lastStopMs, waitUntil } from './wait-until.ts';

export type ProcessOptions = {
  /** What messages call it. */
  name: string;
  /** It is ready when its output matches, or when this answers true. */
  ready: RegExp | (() => Promise<boolean>);
  /** Milliseconds until it must be ready; by default a last stop against hanging. */
  timeoutMs?: number;
  /** Added to this process's environment. */
  env?: Record<string, string | undefined>;
  cwd?: string;
  /** Text for its standard input, which is empty otherwise. */
  stdin?: string;
};

export type Process = AsyncDisposable & {
  pid: number;
  /** The last few megabytes of stdout and stderr, as they came. */
  output(): string;
  /** Its exit code; null when a signal ended it. */
  readonly exited: Promise<number | null>;
  /**
   * Sends the signal (SIGTERM by default) and waits; what does not end is killed in the end. Answers as
   * `exited`.
   */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
  /** SIGKILL to it and all that it started, and waits. */
  kill(): Promise<void>;
};

const outputLimit = 4 * 1024 * 1024;

/** The process groups that run; none of them outlives this process. */
const groups = new Set<number>();

process.on('exit', () => {
  for (const pid of groups) killGroup(pid);
});

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

/** The exit hook does not run when this process is killed; the kernel's parent-death signal does. */
function boundToParent(command: string, args: string[]): [string, string[]] {
  const setpriv = findCommand('setpriv');
  return setpriv ? [setpriv, ['--pdeathsig', 'KILL', '--', command, ...args]] : [command, args];
}

/**
 * Starts a program and waits until it is ready; throws with its last lines of output when it ends before. It
 * runs in a process group of its own, which is killed when the program ends and when this process exits. When
 * this process is killed, the program dies too, though not what the program has started. It does not keep
 * this process alive.
 */
export async function startProcess(
  command: string,
  args: string[],
  options: ProcessOptions,
): Promise<Process> {
  const { name, ready, timeoutMs = lastStopMs, env, cwd, stdin } = options;
  const child = spawn(...boundToParent(command, args), {
    cwd,
    env: { ...process.env, ...env },
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const { pid } = child;
  if (pid) groups.add(pid);

  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (output.length > 2 * outputLimit) output = output.slice(-outputLimit);
    });
  }
  child.stdin.on('error', () => {}); // It need not read what it is given.
  child.stdin.end(stdin);

  let ended = false;
  child.on('error', error => {
    ended = true;
    output += `${error.message}\n`;
  });
  child.once('exit', () => {
    ended = true;
    if (!pid) return;
    killGroup(pid);
    groups.delete(pid);
  });
  const closed = new Promise<number | null>(done => child.once('close', done));

  const handles = [child, child.stdout as Socket, child.stderr as Socket];
  for (const handle of handles) handle.unref();
  const exited = () => {
    for (const handle of handles) handle.ref();
    return closed;
  };

  const kill = async () => {
    if (pid && !ended) killGroup(pid);
    await exited();
  };
  const stop = async (signal: NodeJS.Signals = 'SIGTERM') => {
    if (!ended) child.kill(signal);
    const code = await Promise.race([exited(), delay(lastStopMs, 'late' as const, { ref: false })]);
    if (code !== 'late') return code;
    await kill();
    return closed;
  };

  const isReady = () => (ready instanceof RegExp ? ready.test(output) : ready());
  try {
    await waitUntil(`${name} to be ready`, async () => ended || (await isReady()), timeoutMs);
    if (ended && !(ready instanceof RegExp && ready.test(output))) {
      throw new Error(`${name} ended before it was ready (${await exited()})`);
    }
  } catch (error) {
    await kill();
    throw new Error(`${(error as Error).message}\n${output.trimEnd().split('\n').slice(-20).join('\n')}`, {
      cause: error,
    });
  }

  return {
    pid: pid as number,
    output: () => output,
    get exited() {
      return exited();
    },
    stop,
    kill,
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}
