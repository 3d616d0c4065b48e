import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { describeError } from '../../shared/base/errors.ts';
import { findProgram } from './find-program.ts';

// The process of a private Redis: what starts it, and what it says when it ends.

/** What is kept of what it says. */
const MOST_LINES = 20;
const LONGEST_LINE = 300;

type Command = [program: string, ...before: string[]];

export type Server = {
  /** Tells how it ended, in its own last words where it has left some. Never rejects. */
  ended: Promise<string>;
  kill(signal: 'SIGTERM' | 'SIGKILL'): void;
};

/** Starts a Redis that keeps its data in `dir` and listens on `socket`. */
export function spawnServer([program, ...before]: Command, dir: string, socket: string): Server {
  const child = spawn(program, [...before, ...serverOptions(dir, socket)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const lines = keepLines(child.stdout, child.stderr);
  const gone = once(child, 'exit').then(
    ([code, signal]) => (signal === null ? `exit code ${code}` : `${signal}`),
    describeError,
  );
  /** What it said before may come after its end; its own children keep its output open for longer. */
  const heard = once(child, 'close').catch(() => {});
  const ended = gone.then(async how => {
    await Promise.race([heard, delay(200, undefined, { ref: false })]);
    return describeEnd(how, lines);
  });
  return { ended, kill: signal => child.kill(signal) };
}

/** Keeps the last lines. */
function keepLines(...outputs: Readable[]): string[] {
  const lines: string[] = [];
  for (const input of outputs)
    createInterface({ input }).on('line', line => {
      lines.push(line.slice(0, LONGEST_LINE));
      lines.splice(0, lines.length - MOST_LINES);
    });
  return lines;
}

/** In Redis's own last words, without what it says at each start. */
function describeEnd(how: string, lines: string[]): string {
  const words = lines.map(line => line.replace(/^\d+:[A-Z] \d+ \w+ \d+ [\d:.]+ \S /, '').trim());
  const own = words.slice(words.lastIndexOf('Server initialized') + 1);
  const reasons = own.filter(
    line => line !== '' && !/^(WARNING|oO0|\w+ version=|Configuration loaded)/.test(line),
  );
  return reasons.slice(-3).join('; ') || how;
}

function serverOptions(dir: string, socket: string): string[] {
  const options = {
    port: '0',
    unixsocket: socket,
    unixsocketperm: '700',
    dir,
    appendonly: 'yes',
    appendfsync: 'everysec',
    'maxmemory-policy': 'noeviction',
    save: '',
    daemonize: 'no',
    loglevel: 'warning',
  };
  return Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
}

/**
 * Finds what starts a Redis, or a Valkey. With `setpriv` (Linux), it ends by itself when this process is
 * killed; elsewhere the next run finds it.
 *
 * @param path as the environment has it
 * @throws Error in one line where neither is installed
 */
export function findServer(path: string): Command {
  const redis = findProgram('redis-server', path) ?? findProgram('valkey-server', path);
  if (!redis) {
    throw new Error(
      'no Redis is configured and redis-server is not installed: install it (apt install redis-server), or set [redis] url to a Redis that runs',
    );
  }
  const setpriv = process.platform === 'linux' ? findProgram('setpriv', path) : undefined;
  const command = setpriv ? [setpriv, '--pdeathsig', 'TERM', redis] : [redis];
  return ['/bin/sh', '-c', 'umask 077; exec "$@"', 'sh', ...command];
}
