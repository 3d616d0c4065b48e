import { spawn } from 'node:child_process';

/** How a command is run; `signal` kills it and all that it started. */
export type RunOptions = { signal?: AbortSignal; env?: Record<string, string | undefined>; stdin?: string };

/**
 * Runs a command to its end, away from the terminal: a Ctrl-C reaches this process alone, which then decides.
 *
 * @returns what it wrote to stdout
 * @throws Error with the last lines that it wrote, when it fails or cannot be run
 */
export async function runCommand(
  [command, ...args]: readonly [string, ...string[]],
  { signal, env, stdin = '' }: RunOptions = {},
): Promise<string> {
  signal?.throwIfAborted();
  const child = spawn(command, args, { env: { ...process.env, ...env }, detached: true });
  const kill = () => {
    if (child.pid) process.kill(-child.pid, 'SIGKILL');
  };
  signal?.addEventListener('abort', kill);
  let stdout = '';
  let output = '';
  child.stdout.setEncoding('utf8').on('data', text => {
    stdout += text;
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', text => {
    output += text;
  });
  child.stdin.on('error', () => {}); // it need not read what it is given
  child.stdin.end(stdin);
  try {
    const ended = Promise.withResolvers<number | null>();
    child.once('error', ended.reject);
    child.once('close', ended.resolve);
    const code = await ended.promise;
    signal?.throwIfAborted();
    if (code === 0) return stdout;
  } finally {
    signal?.removeEventListener('abort', kill);
  }
  const lastLines = output.trimEnd().split('\n').slice(-30).join('\n');
  const firstLine = [command, ...args].join(' ').split('\n', 1)[0];
  throw new Error(`${firstLine} failed:\n${lastLines}`);
}
