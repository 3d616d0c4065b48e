import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { getSystemErrorMessage } from 'node:util';

/** How long a program that is told to end may take before it is killed. */
const GRACE = 1_000;
/** How long its last words are waited for: what it left in the background may hold its standard error open for ever. */
const LAST_WORDS = 200;
/** Characters of standard error that are kept, and of its last line that are told. */
const MOST_STDERR = 8_192;
const LONGEST_LINE = 300;
/** With it alone a program finds the usual commands; nothing of Quarry's own environment reaches it. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export type ProgramRun = {
  /** Absolute. It is executed as it is, without a shell and without arguments. */
  path: string;
  stdin: string;
  /** Added to an environment that holds only a PATH. */
  environment: Record<string, string>;
  /** The folder in which it runs. */
  folder: string;
  /** Milliseconds, after which it and all that it started are ended. */
  timeout: number;
  /** Texts that are blanked out of what it says. */
  secrets?: string[];
};

/**
 * Runs a program to its end. Its standard output is dropped. What it leaves running in the background when it ends by
 * itself goes on.
 *
 * @throws Error unless it ends with exit code 0, with one line to stand behind what the caller calls the program: how it
 *   ended, and the last line of its standard error; or the signal's reason, when that fires first. The whole process
 *   group is gone then, as it is after the timeout.
 */
export async function runProgram(run: ProgramRun, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { path, folder: cwd, environment, timeout, secrets = [] } = run;
  const child = spawn(path, [], {
    ...{ cwd, env: { PATH, ...environment }, detached: true }, // a process group of its own, to be ended as a whole
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  const stderr = keepEnd(child);
  child.stdin.on('error', () => {}); // it need not read what it is given
  child.stdin.end(run.stdin);

  const late = AbortSignal.timeout(timeout);
  const { how, ended } = await untilEnd(child, AbortSignal.any([late, signal]));
  signal.throwIfAborted();
  if (how instanceof Error) throw new Error(`cannot be run: ${systemWords(how)}`);
  if (ended) throw new Error(`did not end within ${timeout / 1_000} seconds`);
  if (how === 0) return;
  const said = lastLine(stderr(), secrets);
  throw new Error(`ended with ${typeof how === 'number' ? `exit code ${how}` : how}${said && `: ${said}`}`);
}

/** Why a file cannot be run as a program, in the system's words; `undefined` where it can. */
export function whyNotRunnable(path: string): string | undefined {
  try {
    if (!statSync(path).isFile()) return 'not a file';
    accessSync(path, constants.X_OK);
    return undefined;
  } catch (error) {
    return systemWords(error);
  }
}

type End = {
  /** Its exit code, the name of the signal that ended it, or why it did not start. */
  how: number | string | Error;
  /** Whether it had to be ended. */
  ended: boolean;
};

/** Once `ending` fires, the whole group goes. */
async function untilEnd(child: ChildProcess, ending: AbortSignal): Promise<End> {
  const closed = once(child, 'close').catch(() => {});
  let grace: NodeJS.Timeout | undefined;
  const end = () => {
    killGroup(child, 'SIGTERM');
    grace = setTimeout(() => killGroup(child, 'SIGKILL'), GRACE);
  };
  ending.addEventListener('abort', end, { once: true });
  try {
    const [code, signal] = await once(child, 'exit');
    const ended = ending.aborted;
    if (ended) killGroup(child, 'SIGKILL');
    await Promise.race([closed, delay(LAST_WORDS)]);
    return { how: code ?? signal, ended };
  } catch (error) {
    return { how: error as Error, ended: false };
  } finally {
    ending.removeEventListener('abort', end);
    clearTimeout(grace);
    child.stderr?.destroy();
  }
}

function killGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // All of it has ended.
  }
}

function keepEnd({ stderr }: ChildProcess): () => string {
  let text = '';
  stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    text = (text + chunk).slice(-MOST_STDERR);
  });
  stderr?.on('error', () => {});
  return () => text;
}

/** Fit to be shown: without secrets, not even the end of one that was cut off, and without what could drive a terminal. */
function lastLine(text: string, secrets: string[]): string {
  const cut = text.length < MOST_STDERR ? 0 : Math.max(0, ...secrets.map(secret => secret.length));
  const hidden = secrets.reduce((line, secret) => line.replaceAll(secret, '…'), text.slice(cut));
  const lines = hidden.split(/[\r\n]+/).map(line => line.replace(/[\p{C}\s]+/gu, ' ').trim());
  return (lines.findLast(line => line !== '') ?? '').slice(0, LONGEST_LINE);
}

function systemWords(error: unknown): string {
  const { errno, message } = error as NodeJS.ErrnoException;
  return errno === undefined ? message : getSystemErrorMessage(errno);
}
