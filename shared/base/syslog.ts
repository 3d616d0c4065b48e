import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { describeError } from './basics.ts';

export type Syslog = AsyncDisposable & {
  /** @param level one of pino's */
  write(text: string, level: number): void;
};

/**
 * Opens the system's log. Node has no Unix datagram sockets, which `/dev/log` is, so the `logger` command
 * writes to it. Disposing waits until it has written everything.
 *
 * @param who names the option that asks for it, for the error
 * @throws Error when the system has no `logger` command
 */
export async function openSyslog(who: string): Promise<Syslog> {
  const child = spawn('logger', ['--tag', 'quarry', '--prio-prefix'], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const exited = once(child, 'exit');
  exited.catch(() => {}); // the spawn rejects too
  try {
    await once(child, 'spawn');
  } catch (error) {
    throw new Error(`${who} needs the logger command (Debian package bsdutils)`, { cause: error });
  }
  child.unref();
  const input: Writable = child.stdin;
  (input as Writable & { unref?(): void }).unref?.();
  input.on('error', error => process.stderr.write(`quarry: syslog is gone: ${describeError(error)}\n`));
  return {
    write: (text, level) => input.write(`<${DAEMON * 8 + toSeverity(level)}>${text}`),
    async [Symbol.asyncDispose]() {
      child.ref();
      input.end();
      await exited;
    },
  };
}

const DAEMON = 3;

/** Turns pino's levels into severities (RFC 5424 section 6.2.1). */
function toSeverity(level: number): number {
  if (level >= 60) return 2;
  if (level >= 50) return 3;
  if (level >= 40) return 4;
  return level >= 30 ? 6 : 7;
}
