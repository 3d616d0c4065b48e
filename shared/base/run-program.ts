import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { describeFileError } from './errors.ts';

/** Milliseconds between SIGTERM and SIGKILL. */
const GRACE = 1_000;
/** Milliseconds to wait for the rest of standard error, which a background process may keep open for ever. */
const LAST_WORDS = 200;
/** Characters kept of standard error, and shown of its last line. */
const MOST_STDERR = 8_192;
const LONGEST_LINE = 300;
/** Programs get this PATH and nothing of Quarry's own environment. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export type ProgramRun = {
  /** Absolute. The file is executed directly, without a shell and without arguments. */
  path: string;
  stdin: string;
  /** Added to the PATH. */
  environment: Record<string, string>;
  /** The working directory. */
  folder: string;
  /** Milliseconds, after which the program and all that it started are killed. */
  timeout: number;
  /** Texts that are blanked out of standard error. */
  secrets?: string[];
};

/**
 * Runs a program to its end and drops its standard output. Processes that it leaves in the background go on
 * when it exits by itself; after the timeout or the signal the whole process group is killed.
 *
 * @throws Error unless the exit code is 0, with one line to follow the program's name: how it ended, and the
 *   last line of its standard error; or the signal's reason
 */
export async function runProgram(run: ProgramRun, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { path, folder: cwd, environment, timeout, secrets = [] } = run;
  const child = spawn(path, [], {
    cwd,
    env: { PATH, ...environment },
    detached: true, // a process group of its own, to be killed as a whole
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  const stderr = keepEnd(child);
  child.stdin.on('error', () => {}); // the program need not read its input
  child.stdin.end(run.stdin);

  const late = AbortSignal.timeout(timeout);
  const { how, ended } = await untilEnd(child, AbortSignal.any([late, signal]));
  signal.throwIfAborted();
  if (how instanceof Error) throw new Error(`cannot be run: ${describeFileError(how)}`);
  if (ended) throw new Error(`did not end within ${timeout / 1_000} seconds`);
  if (how === 0) return;
  const said = lastLine(stderr(), secrets);
  throw new Error(`ended with ${typeof how === 'number' ? `exit code ${how}` : how}${said && `: ${said}`}`);
}

/** Tells why a file cannot be run as a program, in the system's words; `undefined` where it can. */
export function whyNotRunnable(path: string): string | undefined {
  try {
    if (!statSync(path).isFile()) return 'not a file';
    accessSync(path, constants.X_OK);
    return undefined;
  } catch (error) {
    return describeFileError(error);
  }
}

type End = {
  /** The exit code, the name of the signal that ended the program, or the reason why it did not start. */
  how: number | string | Error;
  /** Whether Quarry ended it. */
  ended: boolean;
};

/** Kills the whole group once `ending` fires. */
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
    // The whole group has ended.
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

/**
 * Makes the last line fit to be shown: without control characters, and without secrets, even the end of one
 * that was cut off.
 */
function lastLine(text: string, secrets: string[]): string {
  const cut = text.length < MOST_STDERR ? 0 : Math.max(0, ...secrets.map(secret => secret.length));
  const hidden = secrets.reduce((line, secret) => line.replaceAll(secret, '…'), text.slice(cut));
  const lines = hidden.split(/[\r\n]+/).map(line => line.replace(/[\p{C}\s]+/gu, ' ').trim());
  return (lines.findLast(line => line !== '') ?? '').slice(0, LONGEST_LINE);
}
